//! A gateway that is gone, slow, limited, broken or silent: statuses, histories and metrics, while
//! accepting goes on, and everything is delivered once it is back.

use crate::support::prelude::*;

fn attempts(service: &Service, outcome: &str) -> u64 {
    service.metrics().sum("notification_attempts_total", &[("provider", "http"), ("outcome", outcome)])
}

/// All but the last of this outcome, or parked by the breaker, the last delivered.
fn assert_delivered_after(shown: &Value, outcome: &str) {
    let outcomes = outcomes(shown);
    let (last, before) = outcomes.split_last().unwrap();
    assert!(
        last == "delivered" && before.iter().all(|found| found == outcome || found == "parked"),
        "{shown}"
    );
}

/// Attempts never run out in a test.
fn site(gateway: &Gateway) -> Site {
    Site::sending_to(gateway).with("APP_RETRY__MAX_ATTEMPTS", "1000").with("APP_RETRY__MAX_UNKNOWN", "1000")
}

#[test]
fn a_gateway_that_is_gone_delays_what_is_accepted_and_nothing_else() {
    let mut gateway = Gateway::gone();
    let service = site(&gateway).start_with_patient();
    // The caller of a synchronous one learns it at once, and it is not tried again.
    let refused = service.ask("POST", SYNC, MESSAGE);
    refused.problem(502, "notification-dead");
    let ids: Vec<String> = (0..10).map(|_| service.accept()).collect();
    let shown = service.until_attempt(&ids[0], "retry");
    assert!(shown["reason"] == "connect_failed" || shown["reason"] == "breaker_open", "{shown}");
    assert!(attempts(&service, "retry") > 0);
    gateway.come();
    for id in &ids {
        assert_delivered_after(&service.until_status(id, "delivered"), "retry");
    }
    assert!(service.readiness().0, "a gateway's absence is not ours");
    let ledger = service.ledger();
    assert_eq!((ledger.of("delivered"), ledger.of("dead")), (10, 1));
    assert_eq!(gateway.arrivals_of(&refused.text("id")), 0);
}

#[test]
fn a_dead_gateway_is_left_alone_and_gets_everything_once_it_is_back() {
    let gateway = Gateway::behaving(r#"{"status":500}"#);
    let service = site(&gateway).start_with_patient();
    let ids: Vec<String> = (0..100).map(|_| service.accept()).collect();
    let breaker = |to: &str| {
        service.metrics().sum("circuit_breaker_transitions_total", &[("target", "sms"), ("to", to)])
    };
    until_so("the breaker opens", || breaker("open") > 0);
    // Whoever waits is told so, and nothing is kept; between two probes, that is.
    until("a synchronous one is refused", || {
        let before = service.ledger().of("accepted");
        let answer = service.ask("POST", SYNC, MESSAGE);
        (answer.status == 503).then(|| {
            answer.problem(503, "gateway-unavailable");
            assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() <= 61);
            assert_eq!(service.ledger().of("accepted"), before);
        })
    });
    until_so("all have been parked", || attempts(&service, "parked") >= 200);
    // Those of the first moment, and a probe now and then.
    let made = attempts(&service, "retry");
    assert!(made < 100, "{made}");

    gateway.behave("{}");
    for id in &ids {
        assert_delivered_after(&service.until_status(id, "delivered"), "retry");
    }
    let ledger = service.until_drained();
    assert_eq!(ledger.of("delivered"), 100);
    assert!(breaker("closed") > 0);
    assert_eq!(service.metrics().sum("circuit_breaker_state", &[("target", "sms")]), 0);
    assert_eq!(service.ask("POST", SYNC, MESSAGE).status, 200);
}

#[test]
fn a_gateway_slower_than_the_timeout_is_asked_again_with_the_same_key() {
    let gateway = Gateway::behaving(r#"{"latency":"5s"}"#);
    let service = site(&gateway).with("APP_SMS__HTTP__TIMEOUT", "200ms").start_with_patient();
    let id = service.accept();
    let shown = service.until_attempt(&id, "unknown");
    assert_eq!(shown["reason"], "timeout", "{shown}");
    let doubtful = service.ask("POST", SYNC, MESSAGE);
    doubtful.problem(504, "notification-unknown");
    assert_eq!(service.notification(&doubtful.text("id"))["status"], "unknown");
    assert!(attempts(&service, "unknown") >= 2);
    gateway.behave("{}");
    assert_delivered_after(&service.until_status(&id, "delivered"), "unknown");
    assert!(gateway.arrivals_of(&id) >= 2);
    let statuses = gateway.stats()["statuses"].as_object().unwrap().clone();
    assert!(!statuses.contains_key("400"), "a key was not the id: {statuses:?}");
}

#[test]
fn a_limited_gateway_parks_jobs_without_spending_attempts() {
    let gateway = Gateway::behaving(r#"{"rateLimit":1}"#);
    // With one attempt each, a spent one would show as a dead letter.
    let service = site(&gateway).with("APP_RETRY__MAX_ATTEMPTS", "1").start_with_patient();
    let ids: Vec<String> = (0..4).map(|_| service.accept()).collect();
    until_so("three are parked", || attempts(&service, "parked") >= 3);
    let parked = until("one waits", || {
        ids.iter().map(|id| service.notification(id)).find(|shown| shown["status"] == "retrying")
    });
    assert_eq!(parked["reason"], "status_429", "{parked}");
    // Retry-After says a second, the backoff would be 20 ms.
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let last = parked["attempts"].as_array().unwrap().last().unwrap();
    let wait = time(&parked["nextAttemptAt"]).duration_since(time(&last["at"]));
    assert!(wait.as_secs() >= 1, "{parked}");
    gateway.behave("{}");
    for id in &ids {
        assert_delivered_after(&service.until_status(id, "delivered"), "parked");
    }
    assert_eq!(service.ledger().of("dead"), 0);
}

#[test]
fn a_broken_gateway_is_tried_until_attempts_run_out_and_a_replay_delivers() {
    let gateway = Gateway::behaving(r#"{"status":500}"#);
    let service = site(&gateway).with("APP_RETRY__MAX_ATTEMPTS", "3").start_with_patient();
    let id = service.accept();
    let shown = service.until_status(&id, "dead");
    assert_eq!(outcomes(&shown), ["retry", "retry", "dead"]);
    assert_eq!(shown["reason"], "status_500");
    service.ask("POST", SYNC, MESSAGE).problem(502, "notification-dead");
    assert_eq!(service.ledger().of("dead"), 2);
    gateway.behave("{}");
    let replay = service.replay(&id);
    assert_eq!(replay.status, 202, "{replay:?}");
    let shown = service.until_status(&id, "delivered");
    assert_eq!(outcomes(&shown), ["retry", "retry", "dead", "replayed", "delivered"]);
    let ledger = service.ledger();
    assert_eq!((ledger.of("accepted"), ledger.of("delivered"), ledger.of("dead")), (2, 1, 1));
}

#[test]
fn a_gateway_that_fails_now_and_then_delivers_everything_in_the_end() {
    let gateway = Gateway::behaving(r#"{"errorRate":0.5,"status":503}"#);
    let service = site(&gateway).start_with_patient();
    let ids: Vec<String> = (0..40).map(|_| service.accept()).collect();
    service.until_drained();
    for id in &ids {
        assert_delivered_after(&service.notification(id), "retry");
    }
    assert_eq!(service.ledger().of("delivered"), 40);
    assert!(attempts(&service, "retry") > 0);
}

#[test]
fn a_black_hole_holds_its_workers_while_accepts_and_cancels_go_on() {
    let gateway = Gateway::behaving(r#"{"blackHole":true}"#);
    let service = site(&gateway)
        .with("APP_QUEUE__WORKERS", "2")
        .with("APP_SMS__HTTP__TIMEOUT", "10s")
        .start_with_patient();
    let ids: Vec<String> = (0..10).map(|_| service.accept()).collect();
    gateway.has_received(2);
    until_so("both workers are busy", || {
        let metrics = service.metrics();
        metrics.sum("queue_jobs", &[("state", "running")]) == 2 && metrics.sum("workers_busy", &[]) == 2
    });
    // What is in an attempt may have been sent.
    service.cancel(&gateway.arrivals()[0]).problem(409, "not-cancellable");
    let waiting: Vec<&String> = ids.iter().filter(|id| gateway.arrivals_of(id) == 0).collect();
    let answer = service.cancel(waiting[0]);
    assert_eq!((answer.status, answer.text("status")), (200, "cancelled".to_owned()));
    service.cancel(waiting[0]).problem(409, "not-cancellable");
    gateway.behave("{}");
    let ledger = service.until_drained();
    assert_eq!((ledger.of("delivered"), ledger.of("cancelled")), (9, 1));
    assert_eq!(gateway.arrivals_of(waiting[0]), 0);
}

#[test]
fn what_waits_for_its_retry_can_be_cancelled() {
    let mut gateway = Gateway::gone();
    let service = site(&gateway)
        .with("APP_RETRY__BASE_DELAY", "1h")
        .with("APP_RETRY__MAX_DELAY", "1h")
        .start_with_patient();
    let id = service.accept();
    service.until_status(&id, "retrying");
    let answer = service.cancel(&id);
    assert_eq!((answer.status, answer.text("status")), (200, "cancelled".to_owned()));
    gateway.come();
    service.until_status(&service.accept(), "delivered");
    assert_eq!(gateway.arrivals_of(&id), 0);
    let ledger = service.ledger();
    assert_eq!((ledger.of("cancelled"), ledger.of("delivered"), ledger.of("queued")), (1, 1, 0));
}
