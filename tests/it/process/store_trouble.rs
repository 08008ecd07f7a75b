//! A store that another process holds locked: refusals that leave nothing behind, and recovery by itself.

use crate::support::locked::Locked;
use crate::support::prelude::*;
use chassis_test::client::ask_with;
use std::thread;

#[test]
fn a_locked_store_refuses_and_says_why_and_comes_back_by_itself() {
    let gateway = Gateway::start();
    let site = Site::sending_to(&gateway);
    let service = site.start_with_patient();
    let before = service.accept();
    service.until_status(&before, "delivered");
    let locked = Locked::new(&site);

    for answer in service.post_at_once(5, ASYNC, MESSAGE) {
        let seconds = answer.problem(503, "store-unavailable");
        assert!(seconds.is_some_and(|seconds| seconds >= 1), "{answer:?}");
    }
    service.ask("POST", SYNC, MESSAGE).problem(503, "store-unavailable");
    until_so("it is not ready", || !service.readiness().0);
    let (_, reason) = service.readiness();
    assert!(reason.contains("lock"), "{reason}");
    let metrics = service.metrics();
    assert_eq!(metrics.sum("store_up", &[]), 0);
    assert_eq!(metrics.sum("notification_refused_total", &[("reason", "store_unavailable")]), 6);
    // Reading goes on.
    assert_eq!(service.notification(&before)["status"], "delivered");

    drop(locked);
    until_so("it is ready", || service.readiness().0);
    assert_eq!(service.metrics().sum("store_up", &[]), 1);
    let after = service.accept();
    service.until_status(&after, "delivered");
    assert_eq!(service.until_drained().of("accepted"), 2, "a refusal left something behind");
    assert_eq!(gateway.arrivals(), [before, after]);
    service.told("the store can't commit", 1);
    service.told("the store commits again", 1);
}

#[test]
fn what_was_accepted_before_the_lock_is_delivered_once_after_it() {
    let gateway = Gateway::behaving(r#"{"latency":"300ms"}"#);
    let site = Site::sending_to(&gateway).with("APP_QUEUE__WORKERS", "4");
    let service = site.start_with_patient();
    let answers = service.post_at_once(12, ASYNC, MESSAGE);
    assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");
    gateway.has_received(4);
    // Attempts are in flight: their ends can't be committed, and no more begin.
    let locked = Locked::new(&site);
    service.ask("POST", ASYNC, MESSAGE).problem(503, "store-unavailable");
    until_so("it is not ready", || !service.readiness().0);
    drop(locked);
    let ledger = service.until_drained();
    assert_eq!((ledger.of("accepted"), ledger.of("delivered")), (12, 12));
    assert_eq!(gateway.arrivals().len(), 12, "something was sent twice");
}

#[test]
fn a_stop_while_the_store_is_locked_ends_in_time_and_loses_nothing() {
    let gateway = Gateway::behaving(r#"{"latency":"2s"}"#);
    let site = Site::sending_to(&gateway).with("APP_SHUTDOWN__DRAIN_DEADLINE", "4s");
    let service = site.start_with_patient();
    let ids: Vec<String> = (0..3).map(|_| service.accept()).collect();
    gateway.has_received(3);
    let locked = Locked::new(&site);
    service.signal(Signal::TERM);
    let (code, output) = service.ended();
    assert_eq!(code, 70, "{output}");
    drop(locked);
    let service = site.start();
    ids.iter().for_each(|id| drop(service.until_status(id, "delivered")));
    assert_eq!(service.until_drained().of("delivered"), 3);
}

#[test]
fn a_call_whose_end_cannot_be_committed_in_time_is_told_that_it_may_have_been_stored() {
    let gateway = Gateway::behaving(r#"{"latency":"2s"}"#);
    let site = Site::sending_to(&gateway)
        .with("APP_SMS__HTTP__TIMEOUT", "3s")
        .with("APP_HTTP__HANDLER_TIMEOUT", "4s");
    let service = site.start_with_patient();
    let http = service.http;
    let submit = move || ask_with(http, "POST", SYNC, &[("idempotency-key", "doubt")], MESSAGE);
    let caller = thread::spawn(submit);
    gateway.has_received(1);
    let locked = Locked::new(&site);
    // No other type of a 503 may leave anything behind.
    caller.join().unwrap().problem(503, "commit-unknown");
    drop(locked);
    service.until_drained();
    let repeat = submit();
    assert_eq!((repeat.status, replayed(&repeat)), (200, true), "{repeat:?}");
    assert_eq!(gateway.arrivals(), [repeat.text("id")]);
}

#[test]
fn a_start_on_a_locked_store_ends_with_70_and_says_why() {
    let site = Site::new();
    site.start().stop();
    let locked = Locked::new(&site);
    let (code, output) = site.spawn().ended();
    assert_eq!(code, 70, "{output}");
    assert!(output.contains("lock"), "{output}");
    drop(locked);
    site.start().stop();
}
