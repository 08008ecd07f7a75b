//! Delivering through a gateway, later and while the caller waits.

use super::{PUSH_BODY, REACHABLE};
use crate::support::{
    gateway::{Act, RawGateway},
    prelude::*,
};

/// A service whose one patient has a phone and two devices, and the gateway of both channels.
fn reachable() -> (Service, RawGateway, Site) {
    let gateway = RawGateway::start();
    let site = Site::sending_to_url(&gateway.url())
        .pushing_to(&gateway.url())
        .with("APP_SMS__HTTP__TIMEOUT", "1s")
        .with("APP_PUSH__HTTP__TIMEOUT", "1s")
        // Delays are drawn by chance: nothing is to be given up before its time.
        .with("APP_RETRY__MAX_ATTEMPTS", "1000");
    let service = site.start();
    service.contact("p-1", REACHABLE);
    (service, gateway, site)
}

#[test]
fn a_patient_who_went_away_is_not_written_to() {
    let (service, gateway, _site) = reachable();
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let id = service.accept_body(&json!({ "patientId": "p-1", "message": "x", "sendAt": at }).to_string());
    assert_eq!(service.ask("DELETE", "/api/v1/patients/p-1", "").status, 204);
    assert_eq!(service.until_status(&id, "dead")["reason"], "no_contact");
    assert!(gateway.sent().is_empty());
}

#[test]
fn who_waits_is_told_of_a_delivery_or_of_a_failure_which_is_not_retried() {
    let (service, gateway, _site) = reachable();
    let answered = service.ask("POST", SYNC, MESSAGE);
    assert_eq!(answered.json(), json!({ "id": answered.text("id"), "status": "delivered" }));
    for status in [500, 429, 422] {
        gateway.will(&[Act::Status(status)]);
        let key = format!("key-{status}");
        let answered = service.keyed(&key, SYNC, MESSAGE);
        answered.problem(502, "notification-dead");
        assert_eq!(service.notification(&answered.text("id"))["status"], "dead");
        let again = service.keyed(&key, SYNC, MESSAGE);
        assert_eq!((again.status, again.text("id"), replayed(&again)), (502, answered.text("id"), true));
    }
    for act in [Act::Status(502), Act::Status(504), Act::Close] {
        gateway.will(&[act]);
        service.ask("POST", SYNC, MESSAGE).problem(504, "notification-unknown");
    }
    assert_eq!(gateway.sent().len(), 7);
    let ledger = service.ledger();
    assert_eq!(["delivered", "dead", "unknown", "queued"].map(|state| ledger.of(state)), [1, 3, 3, 0]);
}

#[test]
fn a_caller_that_leaves_cancels_nothing() {
    let (service, gateway, _site) = reachable();
    gateway.will(&[Act::Silence]);
    let mut leaving = Connection::open(service.http).unwrap();
    let length = MESSAGE.len();
    let head = format!("Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}");
    leaving.write(format!("POST {SYNC} HTTP/1.1\r\n{head}\r\n\r\n{MESSAGE}").as_bytes()).unwrap();
    until_so("the gateway is asked", || gateway.sent().len() == 1);
    drop(leaving);
    service.until_status(&gateway.sent()[0].id, "unknown");
}

#[test]
fn a_push_that_reached_any_device_is_delivered() {
    let (service, gateway, _site) = reachable();
    gateway.will(&[Act::Status(422), Act::Status(200)]);
    let answered = service.ask("POST", PUSH, PUSH_BODY);
    assert_eq!((answered.status, answered.text("status")), (200, "delivered".to_owned()));
    let shown = answered.json();
    let mut statuses: Vec<_> =
        shown["jobs"].as_array().unwrap().iter().map(|job| job["status"].as_str().unwrap()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, ["dead", "delivered"]);
    assert_eq!(service.notification(&answered.text("id"))["status"], "delivered");
}

#[test]
fn a_push_that_reached_none_is_unknown_if_one_may_have_been() {
    let (service, gateway, _site) = reachable();
    gateway.will(&[Act::Silence, Act::Status(422)]);
    let answered = service.ask("POST", PUSH, PUSH_BODY);
    answered.problem(504, "notification-unknown");
    assert_eq!(answered.json()["jobs"].as_array().unwrap().len(), 2);
    gateway.will(&[Act::Status(422), Act::Status(500)]);
    service.ask("POST", PUSH, PUSH_BODY).problem(502, "notification-dead");
}

#[test]
fn what_is_due_too_late_expires_unsent() {
    let (service, gateway, _site) = reachable();
    gateway.always(Act::Status(503));
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1500);
    let id =
        service.accept_body(&json!({ "patientId": "p-1", "message": "x", "notAfter": until }).to_string());
    service.until_status(&id, "expired");
    let sent = gateway.sent_of(&id);
    gateway.always(Act::Status(200));
    service.until_status(&service.accept(), "delivered");
    assert_eq!(gateway.sent_of(&id), sent);
    assert_eq!(service.ledger().of("expired"), 1);
    let trace = service.get(&format!("/api/v1/notifications/{id}")).text("traceId");
    let told = |line: &Value| line["fields"]["status"] == "expired" && line["trace_id"] == *trace;
    until_so("a line of its trace tells of it", || service.lines().iter().any(told));
}
