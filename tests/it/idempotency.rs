//! `Idempotency-Key` on every call that creates: one result for a key, however often, how fast and across which
//! restarts.

use crate::{
    grpc,
    support::{
        gateway::{Act, RawGateway},
        prelude::*,
    },
};
use chassis_test::client::ask_with;
use epro_notify::proto::epro::SubmitReportRequest;
use std::{net::SocketAddr, thread};
use tonic::{Code, Request};

const STUDY: &str = "/api/v1/studies/s-1/notifications";

/// A call that creates: its path and body, the status, and how many jobs it makes.
struct Creating {
    path: &'static str,
    body: &'static str,
    status: u16,
    jobs: u64,
}

const fn creating(path: &'static str, body: &'static str, status: u16, jobs: u64) -> Creating {
    Creating { path, body, status, jobs }
}

const CALLS: [Creating; 6] = [
    creating(ASYNC, MESSAGE, 202, 1),
    creating("/api/v1/notifications/push/async", r#"{"patientId":"p-1","title":"t","message":"x"}"#, 202, 2),
    creating(SYNC, MESSAGE, 200, 1),
    creating(PUSH, r#"{"patientId":"p-1","title":"t","message":"x"}"#, 200, 2),
    creating(STUDY, r#"{"channel":"sms","message":"to all"}"#, 202, 1),
    // With a receipt.
    creating(REPORTS, r#"{"patientId":"p-1","content":"slept well"}"#, 201, 1),
];

fn post(http: SocketAddr, path: &str, key: &str, body: &str) -> Answer {
    ask_with(http, "POST", path, &[("idempotency-key", key)], body)
}

/// Two gateways' worth of channels, a patient with a phone and two devices, enrolled in a study.
fn site(gateway: &RawGateway) -> (Site, Service) {
    let site = Site::sending_to_url(&gateway.url())
        .pushing_to(&gateway.url())
        .with("APP_REPORTS__RECEIPT", "sms")
        .with("APP_SMS__HTTP__TIMEOUT", "2s");
    let service = site.start();
    let tokens = r#"[{"platform":"fcm","token":"one"},{"platform":"ios","token":"two"}]"#;
    service.contact("p-1", &format!(r#"{{"phone":"+4930901820","pushTokens":{tokens}}}"#));
    assert_eq!(service.ask("PUT", "/api/v1/studies/s-1/patients/p-1", "").status, 201);
    (site, service)
}

#[test]
fn repeats_at_once_and_after_a_crash_get_the_one_answer_of_what_was_made_once() {
    let gateway = RawGateway::start();
    let (site, mut service) = site(&gateway);
    let mut jobs = 0;
    for Creating { path, body, status, jobs: made } in &CALLS {
        let http = service.http;
        let callers: Vec<_> = (0..8).map(|_| thread::spawn(move || post(http, path, "once", body))).collect();
        let answers: Vec<Answer> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        // A synchronous repeat waits for nobody.
        let (told, busy): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == *status);
        for answer in &busy {
            answer.problem(409, "in-flight");
        }
        assert!(busy.is_empty() || [SYNC, PUSH].contains(path), "{path}: {busy:?}");
        assert_eq!(told.iter().filter(|answer| !replayed(answer)).count(), 1, "{path}: {told:?}");
        assert!(told.iter().all(|answer| answer.body == told[0].body), "{path}: {told:?}");
        assert!(told.iter().all(|answer| answer.header("location") == told[0].header("location")));
        jobs += made;
        assert_eq!(service.until_drained().of("accepted"), jobs, "{path}");
        service.kill();
        service = site.start();
        let again = post(service.http, path, "once", body);
        assert_eq!((again.status, &again.body, replayed(&again)), (*status, &told[0].body, true), "{path}");
        // Other bytes are another request, and so is the same key on another route, which the next one is.
        post(service.http, path, "once", &body.replacen(':', ": ", 1)).problem(422, "idempotency-key-reused");
    }
    assert_eq!(service.until_drained().of("accepted"), jobs);
    assert_eq!(gateway.sent().len() as u64, jobs, "each was sent once");
}

#[test]
fn what_was_refused_has_used_no_key_up() {
    let gateway = RawGateway::start();
    let (_site, service) = site(&gateway);
    for Creating { path, body, status, .. } in &CALLS {
        let faulty = body.replace('{', r#"{"unknown":1,"#);
        post(service.http, path, "late", &faulty).problem(422, "invalid");
        let first = post(service.http, path, "late", body);
        assert_eq!((first.status, replayed(&first)), (*status, false), "{path}: {first:?}");
    }
    service.ask("DELETE", "/api/v1/studies/s-1/patients/p-1", "");
    post(service.http, STUDY, "nobody", CALLS[4].body).problem(404, "not-found");
    // The last patient has gone, and the study with it: the repeat is answered all the same.
    assert!(replayed(&post(service.http, STUDY, "late", CALLS[4].body)));
    // Another study is another request under this key.
    assert_eq!(service.ask("PUT", "/api/v1/studies/s-2/patients/p-1", "").status, 201);
    let other = post(service.http, "/api/v1/studies/s-2/notifications", "late", CALLS[4].body);
    other.problem(422, "idempotency-key-reused");
}

#[test]
fn what_a_crash_left_of_a_synchronous_call_is_told_to_its_repeat() {
    let gateway = RawGateway::start();
    let (site, service) = site(&gateway);
    gateway.will(&[Act::Silence]);
    let http = service.http;
    let caller = thread::spawn(move || {
        let mut connection = Connection::open(http).unwrap();
        connection.send_with("POST", SYNC, &[("idempotency-key", "cut")], MESSAGE).is_err()
    });
    until_so("the gateway is asked", || gateway.sent().len() == 1);
    post(http, SYNC, "cut", MESSAGE).problem(409, "in-flight");
    service.kill();
    assert!(caller.join().unwrap(), "there was no answer to give");
    let service = site.start();
    let repeat = post(service.http, SYNC, "cut", MESSAGE);
    repeat.problem(504, "notification-unknown");
    assert!(replayed(&repeat), "{repeat:?}");
    assert_eq!(gateway.sent().len(), 1);
}

#[tokio::test]
async fn over_grpc_a_repeat_gets_the_first_answer_and_another_message_is_invalid() {
    let site = Site::new();
    let service = site.start();
    let message = |content: &str| {
        let report = SubmitReportRequest { patient_id: "p-1".to_owned(), content: content.to_owned() };
        let mut request = Request::new(report);
        request.metadata_mut().insert("idempotency-key", "kept".parse().unwrap());
        request
    };
    let first = grpc::client(&service).await.submit_report(message("first")).await.unwrap();
    assert!(first.metadata().get("idempotency-replayed").is_none());
    service.kill();
    let service = site.start();
    let mut calls = grpc::client(&service).await;
    let again = calls.submit_report(message("first")).await.unwrap();
    assert_eq!(again.metadata().get("idempotency-replayed").unwrap(), "true");
    assert_eq!(again.get_ref(), first.get_ref());
    let other = calls.submit_report(message("second")).await.unwrap_err();
    assert_eq!(other.code(), Code::InvalidArgument, "{other:?}");
    // The same key over HTTP is another one.
    let over_http = post(service.http, REPORTS, "kept", r#"{"patientId":"p-1","content":"first"}"#);
    assert_eq!((over_http.status, replayed(&over_http)), (201, false));
    assert_ne!(over_http.text("reportId"), first.get_ref().report_id);
}
