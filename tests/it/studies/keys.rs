//! `Idempotency-Key` on a message to a study.

use super::{SEND, SMS, enrol, enrol_many, finished, site};
use crate::support::prelude::*;
use chassis_test::client::ask_with;
use std::{net::SocketAddr, thread};

fn post(http: SocketAddr, path: &str, key: &str, body: &str) -> Answer {
    ask_with(http, "POST", path, &[("idempotency-key", key)], body)
}

#[test]
fn repeats_at_once_and_after_a_crash_get_the_one_batch_that_was_made() {
    let (gateway, mut site) = site();
    site.set("APP_QUEUE__MAX_BACKLOG", "100");
    let service = site.start();
    enrol_many(service.http, 100);
    let http = service.http;
    let callers: Vec<_> = (0..6).map(|_| thread::spawn(move || post(http, SEND, "once", SMS))).collect();
    let answers: Vec<Answer> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    let first = answers.iter().find(|answer| !replayed(answer)).unwrap();
    for answer in &answers {
        assert_eq!(
            (answer.status, &answer.body),
            (202, &first.body),
            "the backlog has room for one: {answer:?}"
        );
        assert_eq!(answer.header("location"), first.header("location"));
    }
    assert_eq!(answers.iter().filter(|answer| replayed(answer)).count(), 5);
    service.kill();
    let service = site.start();
    // Whatever has changed since: the study is another one by now.
    enrol(&service, "later");
    let again = post(service.http, SEND, "once", SMS);
    assert_eq!((again.status, &again.body, replayed(&again)), (202, &first.body, true));
    finished(&service, &first.text("batchId"));
    let mut arrivals = gateway.arrivals();
    arrivals.sort();
    arrivals.dedup();
    assert_eq!((arrivals.len(), service.until_drained().of("accepted")), (100, 100));
}

#[test]
fn a_key_belongs_to_one_body_and_one_study_and_a_refusal_does_not_use_it_up() {
    let service = Site::new().with("APP_QUEUE__MAX_BACKLOG", "1").start();
    let http = service.http;
    post(http, SEND, "k", SMS).problem(404, "not-found");
    enrol(&service, "p-1");
    enrol(&service, "p-2");
    post(http, SEND, "k", SMS).problem(503, "backlog-full");
    post(http, SEND, "k", r#"{"channel":"sms"}"#).problem(422, "invalid");
    assert_eq!(service.ask("DELETE", "/api/v1/studies/s-1/patients/p-2", "").status, 204);
    assert_eq!(post(http, SEND, "k", SMS).status, 202);
    post(http, SEND, "k", &SMS.replace("reminder", "warning")).problem(422, "idempotency-key-reused");
    assert_eq!(service.ask("PUT", "/api/v1/studies/s-2/patients/p-1", "").status, 201);
    post(http, "/api/v1/studies/s-2/notifications", "k", SMS).problem(422, "idempotency-key-reused");
    // The last patient has gone, and the study with it: the repeat is answered all the same.
    assert_eq!(service.ask("DELETE", "/api/v1/studies/s-1/patients/p-1", "").status, 204);
    assert!(replayed(&post(http, SEND, "k", SMS)));
    assert_eq!(service.until_drained().of("accepted"), 1);
}
