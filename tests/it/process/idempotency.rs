//! `Idempotency-Key` over HTTP: one job for a key, however often, how fast and across which restarts.

use crate::support::prelude::*;
use chassis_test::client::ask_with;
use std::{net::SocketAddr, thread};

fn post(http: SocketAddr, path: &str, key: &str, body: &str) -> Answer {
    ask_with(http, "POST", path, &[("idempotency-key", key)], body)
}

#[test]
fn concurrent_repeats_with_one_key_make_one_job_and_get_one_answer() {
    let gateway = Gateway::start();
    let service = Site::sending_to(&gateway).start_with_patient();
    let http = service.http;
    let callers: Vec<_> =
        (0..24).map(|_| thread::spawn(move || post(http, ASYNC, "once", MESSAGE))).collect();
    let answers: Vec<Answer> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    let first = answers.iter().find(|answer| !replayed(answer)).unwrap();
    assert_eq!(
        first.header("location"),
        Some(format!("/api/v1/notifications/{}", first.text("id")).as_str())
    );
    assert_eq!(answers.iter().filter(|answer| !replayed(answer)).count(), 1);
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (202, &first.body));
        assert_eq!(answer.header("location"), first.header("location"));
    }
    assert_eq!(service.until_drained().of("accepted"), 1);
    assert_eq!(gateway.arrivals(), [first.text("id")]);
}

#[test]
fn a_key_outlives_crashes_and_belongs_to_its_body_and_route() {
    let gateway = Gateway::start();
    let site = Site::sending_to(&gateway);
    let service = site.start_with_patient();
    let first = post(service.http, ASYNC, "kept", MESSAGE);
    assert_eq!(first.status, 202);
    service.kill();
    let service = site.start();
    let again = post(service.http, ASYNC, "kept", MESSAGE);
    assert_eq!((again.status, &again.body, replayed(&again)), (202, &first.body, true));
    let other = MESSAGE.replace("reminder", "warning");
    post(service.http, ASYNC, "kept", &other).problem(422, "idempotency-key-reused");
    // The same key on another route is another one.
    let synchronous = post(service.http, SYNC, "kept", MESSAGE);
    assert_eq!((synchronous.status, replayed(&synchronous)), (200, false));
    // So is a refused request's, which has stored nothing.
    let unknown = r#"{"patientId":"p-2","message":"a reminder"}"#;
    post(service.http, ASYNC, "refused", unknown).problem(422, "no-contact");
    assert_eq!(post(service.http, ASYNC, "refused", MESSAGE).status, 202);
    assert_eq!(service.until_drained().of("accepted"), 3);
}

#[test]
fn a_synchronous_repeat_waits_for_nobody_and_gets_the_first_answer_once_there_is_one() {
    let gateway = Gateway::behaving(r#"{"latency":"2s"}"#);
    let site = Site::sending_to(&gateway);
    let service = site.start_with_patient();
    let http = service.http;
    let caller = thread::spawn(move || post(http, SYNC, "slow", MESSAGE));
    gateway.has_received(1);
    post(http, SYNC, "slow", MESSAGE).problem(409, "in-flight");
    let first = caller.join().unwrap();
    assert_eq!(first.status, 200, "{first:?}");
    let again = post(http, SYNC, "slow", MESSAGE);
    assert_eq!((again.status, &again.body, replayed(&again)), (200, &first.body, true));
    assert_eq!(gateway.arrivals().len(), 1);
}

#[test]
fn what_a_crash_left_of_a_synchronous_call_is_told_to_its_repeat() {
    let gateway = Gateway::behaving(r#"{"blackHole":true}"#);
    let site = Site::sending_to(&gateway);
    let service: Service = site.start_with_patient();
    let http = service.http;
    let mut connection = Connection::open(http).unwrap();
    let caller = thread::spawn(move || {
        connection.send_with("POST", SYNC, &[("idempotency-key", "cut")], MESSAGE).is_err()
    });
    gateway.has_received(1);
    service.kill();
    assert!(caller.join().unwrap(), "there was no answer to give");
    gateway.behave("{}");
    let service = site.start();
    let repeat = post(service.http, SYNC, "cut", MESSAGE);
    repeat.problem(504, "notification-unknown");
    assert!(replayed(&repeat), "{repeat:?}");
    assert_eq!(gateway.arrivals(), [repeat.text("id")]);
}
