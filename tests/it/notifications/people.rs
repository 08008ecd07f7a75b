//! What waits for a person: dead letters, doubts, and what is taken back in time.

use crate::support::{
    gateway::{Act, RawGateway},
    prelude::*,
};

fn reachable(on_unknown: &str) -> (Service, RawGateway, Site) {
    let gateway = RawGateway::start();
    let site = Site::sending_to_url(&gateway.url())
        .with("APP_SMS__HTTP__TIMEOUT", "500ms")
        .with("APP_RETRY__ON_UNKNOWN", on_unknown);
    (site.start_with_patient(), gateway, site)
}

/// The items of a page of dead letters.
fn listed(service: &Service, query: &str) -> Value {
    let answer = service.get(&format!("/api/v1/dead-letters{query}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[test]
fn what_has_not_begun_can_be_cancelled_once() {
    let service = Site::new().start();
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let planned = json!({ "patientId": "p-1", "message": "x", "priority": "urgent", "sendAt": at });
    let id = service.accept_body(&planned.to_string());
    let shown = service.notification(&id);
    assert_eq!((&shown["status"], &shown["priority"]), (&json!("accepted"), &json!("urgent")));
    let due: jiff::Timestamp = shown["dueAt"].as_str().unwrap().parse().unwrap();
    assert!(due.duration_since(at).as_millis().abs() <= 1, "{shown}");
    let cancelled = service.cancel(&id);
    assert_eq!((cancelled.status, cancelled.text("status")), (200, "cancelled".to_owned()));
    service.cancel(&id).problem(409, "not-cancellable");
    assert_eq!(service.ledger().of("cancelled"), 1);
}

#[test]
fn what_is_not_there_is_not_found() {
    let service = Site::new().start();
    for path in [
        "/api/v1/notifications/0000000000001", "/api/v1/notifications/no-such-id",
        "/api/v1/notifications/%ff",
    ] {
        let status = service.get(path).status;
        assert!(matches!(status, 404 | 400), "{path}: {status}");
    }
    service.cancel("0000000000001").problem(404, "not-found");
    service.replay("0000000000001").problem(404, "not-found");
    service.resolve("0000000000001", "dead").problem(404, "not-found");
}

#[test]
fn dead_letters_are_paged_newest_first_and_replayed_with_their_history() {
    let (service, gateway, _site) = reachable("retry");
    let mut ids = Vec::new();
    for _ in 0..3 {
        gateway.will(&[Act::Status(422)]);
        let id = service.accept();
        service.until_status(&id, "dead");
        ids.insert(0, id);
    }
    let first = listed(&service, "?limit=2");
    let items = first["items"].as_array().unwrap();
    assert_eq!(items.iter().map(|item| item["id"].as_str().unwrap()).collect::<Vec<_>>(), ids[..2]);
    assert_eq!((&items[0]["reason"], &items[0]["channel"]), (&json!("status_422"), &json!("sms")));
    let second = listed(&service, &format!("?limit=2&cursor={}", first["nextCursor"].as_str().unwrap()));
    assert_eq!((&second["items"][0]["id"], &second["nextCursor"]), (&json!(ids[2]), &Value::Null));
    let replayed = service.replay(&ids[0]);
    assert_eq!((replayed.status, replayed.json()), (202, json!({ "id": ids[0], "status": "accepted" })));
    let shown = service.until_status(&ids[0], "delivered");
    assert_eq!(outcomes(&shown), ["dead", "replayed", "delivered"]);
    service.replay(&ids[0]).problem(409, "not-a-dead-letter");
}

#[test]
fn a_whole_outage_of_dead_letters_is_replayed_by_one_call() {
    let (service, gateway, _site) = reachable("retry");
    gateway.always(Act::Status(422));
    let refused: Vec<_> = (0..5).map(|_| service.accept()).collect();
    refused.iter().for_each(|id| drop(service.until_status(id, "dead")));
    gateway.always(Act::Status(413));
    let other = service.accept();
    service.until_status(&other, "dead");
    gateway.always(Act::Status(200));
    let bulk = |body: &str| service.ask("POST", "/api/v1/dead-letters/replay", body);
    for wrong in [
        r#"{"reason":5}"#, r#"{"channel":"fax"}"#, r#"{"since":"yesterday"}"#, r#"{"limit":0}"#,
        r#"{"all":true}"#, r#"{"reason":""}"#, r#"{"reason":"\u0000"}"#, r#"{"reason":"Status 422"}"#,
    ] {
        bulk(wrong).problem(422, "invalid");
    }
    let some = bulk(r#"{"reason":"status_422","channel":"sms","since":"2020-01-01T00:00:00Z","limit":2}"#);
    assert_eq!((some.status, &some.json()["replayed"]), (200, &json!(2)), "{some:?}");
    let rest = bulk(r#"{"reason":"status_422"}"#);
    assert_eq!(rest.json()["replayed"], 3, "{rest:?}");
    refused.iter().for_each(|id| drop(service.until_status(id, "delivered")));
    assert_eq!(bulk(r#"{"until":"2020-01-01T00:00:00Z"}"#).json()["replayed"], 0);
    assert_eq!(service.notification(&other)["status"], "dead");
    let ledger = service.ledger();
    assert_eq!((ledger.of("delivered"), ledger.of("dead")), (5, 1));
}

#[test]
fn an_unknown_one_waits_for_a_persons_verdict() {
    let (service, gateway, _site) = reachable("hold");
    gateway.will(&[Act::Silence]);
    let id = service.accept();
    assert_eq!(service.until_status(&id, "unknown")["reason"], "timeout");
    let counted = || service.metrics().sum("notification_finished_total", &[("outcome", "unknown")]);
    until_so("it is counted", || counted() == 1);
    service.until_status(&service.accept(), "delivered");
    assert_eq!(gateway.sent_of(&id), 1, "it is not sent again");
    assert_eq!(listed(&service, "?status=unknown")["items"][0]["id"], json!(id));
    assert_eq!(listed(&service, "")["items"], json!([]));
    service.resolve(&id, "maybe").problem(422, "invalid");
    let resolved = service.resolve(&id, "delivered");
    assert_eq!((resolved.status, resolved.json()), (200, json!({ "id": id, "status": "delivered" })));
    let shown = service.until_status(&id, "delivered");
    assert_eq!(outcomes(&shown), ["unknown", "resolved_delivered"]);
    service.resolve(&id, "dead").problem(409, "not-unknown");
}
