//! The two bounds on what is unfinished: exact under concurrency, and open again when there is room.

use crate::support::prelude::*;

const BACKLOG: usize = 20;

/// So many at once.
fn submit(service: &Service, count: usize, more: &str) -> Vec<Answer> {
    service.post_at_once(count, ASYNC, &body(more))
}

fn body(more: &str) -> String {
    format!(r#"{{"patientId":"p-1","message":"a reminder"{more}}}"#)
}

/// How many were accepted; the others are refused as they should be.
fn accepted(answers: &[Answer]) -> usize {
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 202);
    for answer in refused {
        let seconds = answer.problem(503, "backlog-full");
        assert!(seconds.is_some_and(|seconds| seconds >= 1), "{answer:?}");
    }
    accepted.len()
}

#[test]
fn exactly_the_backlog_is_accepted_and_urgent_ones_a_tenth_more() {
    let gateway = Gateway::behaving(r#"{"blackHole":true}"#);
    let service = Site::sending_to(&gateway)
        .with("APP_QUEUE__MAX_BACKLOG", &BACKLOG.to_string())
        .with("APP_QUEUE__WORKERS", "1")
        .with("APP_SMS__HTTP__TIMEOUT", "1s")
        .start_with_patient();
    assert_eq!(accepted(&submit(&service, BACKLOG + 15, "")), BACKLOG);
    assert_eq!(accepted(&submit(&service, 5, r#","priority":"bulk""#)), 0);
    assert_eq!(accepted(&submit(&service, 8, r#","priority":"urgent""#)), BACKLOG / 10);
    // A synchronous one has no other room.
    assert_eq!(accepted(&[service.ask("POST", SYNC, &body(""))]), 0);
    let metrics = service.metrics();
    assert_eq!(metrics.sum("notification_refused_total", &[("reason", "backlog_full")]), 15 + 5 + 6 + 1);
    assert_eq!(service.ledger().of("accepted"), 22);
    assert!(service.readiness().0, "a full backlog is no reason to be taken away");

    gateway.behave("{}");
    service.until_drained();
    assert_eq!(accepted(&submit(&service, BACKLOG, "")), BACKLOG);
    let ledger = service.until_drained();
    assert_eq!((ledger.of("accepted"), ledger.of("delivered")), (42, 42));
}

#[test]
fn scheduled_ones_have_a_bound_of_their_own_that_a_restart_keeps() {
    let gateway = Gateway::start();
    let site = Site::sending_to(&gateway).with("APP_QUEUE__MAX_SCHEDULED", "7");
    let service = site.start_with_patient();
    let later = |seconds: i64| {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
        format!(r#","sendAt":"{at}""#)
    };
    let first = submit(&service, 20, &later(3600));
    assert_eq!(accepted(&first), 7);
    assert_eq!(accepted(&submit(&service, 1, r#","priority":"bulk""#)), 1, "what is due has room");
    service.stop();
    let service = site.start();
    assert_eq!(accepted(&submit(&service, 3, &later(3600))), 0);
    assert_eq!(service.counted().sum("queue_jobs", &[("state", "scheduled")]), 7);
    // Cancelling one makes room for one.
    let id = first.iter().find(|answer| answer.status == 202).unwrap().text("id");
    assert_eq!(service.cancel(&id).status, 200);
    until_so("there is room", || accepted(&submit(&service, 1, &later(2))) == 1);
    assert_eq!(accepted(&submit(&service, 3, &later(3600))), 0);
    until_so("what has come due is delivered", || service.ledger().of("delivered") == 2);
    until_so("there is room", || accepted(&submit(&service, 1, &later(3600))) == 1);
    assert_eq!(service.ledger().of("queued"), 7);
}
