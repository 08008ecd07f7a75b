//! SIGTERM and SIGINT under load: who still gets an answer, what is kept, and what the exit code says.

use crate::support::load::Load;
use crate::support::prelude::*;
use std::{collections::HashSet, thread};

#[test]
fn every_202_under_load_is_delivered_once_although_the_service_stops_between() {
    let gateway = Gateway::behaving(r#"{"latency":"uniform:1ms,30ms"}"#);
    let site = Site::sending_to(&gateway).with("APP_QUEUE__WORKERS", "8");
    let load = Load::start(4, 2);
    let mut service = site.start_with_patient();
    for _ in 0..3 {
        load.aim(Some(service.http));
        load.until_accepted(load.accepted() + 100);
        service.signal(Signal::TERM);
        let (code, output) = service.ended();
        load.aim(None);
        assert_eq!(code, 0, "{output}");
        service = site.start();
        assert_eq!(service.recovered(), 0, "an attempt was left unfinished");
    }
    load.aim(Some(service.http));
    let (accepted, _) = load.finish();
    service.until_drained();
    let arrivals = gateway.arrivals();
    let unique: HashSet<&String> = arrivals.iter().collect();
    assert_eq!(unique.len(), arrivals.len(), "something was sent twice");
    assert!(accepted.iter().all(|accepted| unique.contains(&accepted.id)), "something was lost");
}

#[test]
fn it_is_not_ready_before_the_listener_closes_and_requests_in_flight_get_their_answers() {
    let gateway = Gateway::behaving(r#"{"latency":"3s"}"#);
    let site = Site::sending_to(&gateway).with("APP_SHUTDOWN__NOT_READY_FOR", "2s");
    let service = site.start_with_patient();
    let http = service.http;
    // One that the gateway answers only after the listener is closed, one that is still being sent.
    let caller = thread::spawn(move || ask(http, "POST", SYNC, MESSAGE).unwrap());
    gateway.has_received(1);
    let mut slow = Connection::open(http).unwrap();
    let (head, body) = MESSAGE.split_at(5);
    let length = MESSAGE.len();
    let part = format!(
        "POST {ASYNC} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{head}"
    );
    slow.write(part.as_bytes()).unwrap();

    service.signal(Signal::INT);
    until_so("it is not ready", || !service.readiness().0);
    // Still open, so that a balancer has time to notice.
    assert!(service.readiness().1.contains("shutting down"), "{:?}", service.readiness());
    let late = service.accept();
    until_so("the listener closes", || Connection::open(http).is_err());
    assert!(!service.readiness().0, "it was ready again");
    slow.write(body.as_bytes()).unwrap();
    let slow = slow.read().unwrap();
    assert_eq!(slow.status, 202, "{slow:?}");
    assert_eq!(caller.join().unwrap().status, 200);
    let (code, output) = service.ended();
    assert_eq!(code, 0, "{output}");

    gateway.behave("{}");
    let service = site.start();
    [&late, &slow.text("id")].into_iter().for_each(|id| drop(service.until_status(id, "delivered")));
    assert_eq!(gateway.arrivals().len(), 3);
}

#[test]
fn a_second_signal_ends_it_at_once_with_70_and_loses_nothing() {
    let gateway = Gateway::behaving(r#"{"blackHole":true}"#);
    let site = Site::sending_to(&gateway).with("APP_QUEUE__WORKERS", "2");
    let service = site.start_with_patient();
    (0..5).for_each(|_| drop(service.accept()));
    gateway.has_received(2);
    service.signal(Signal::TERM);
    until_so("it is not ready", || !service.readiness().0);
    service.signal(Signal::TERM);
    let (code, output) = service.ended();
    assert_eq!(code, 70, "{output}");
    assert!(output.contains("a second signal came"), "{output}");
    assert_whole_after_restart(&site, &gateway, 2);
}

/// Asks it to stop, which its attempts outlast.
fn assert_cut_off(service: Service) {
    service.signal(Signal::TERM);
    let (code, output) = service.ended();
    assert_eq!(code, 70, "{output}");
    assert!(output.contains("the drain deadline passed"), "{output}");
}

#[test]
fn a_gateway_that_hangs_past_the_drain_deadline_ends_it_with_70_and_loses_nothing() {
    let (gateway, site, service) = stuck("retry");
    assert_cut_off(service);
    assert_whole_after_restart(&site, &gateway, 2);
}

#[test]
fn under_hold_what_the_drain_deadline_cut_off_waits_for_a_person() {
    let (gateway, site, service) = stuck("hold");
    assert_cut_off(service);
    let cut_off = gateway.arrivals();
    gateway.behave("{}");
    let service = site.start();
    assert_eq!(service.recovered(), 2);
    for id in &cut_off {
        let shown = service.until_status(id, "unknown");
        assert_eq!(shown["reason"], "interrupted", "{shown}");
    }
    let ledger = service.until_drained();
    assert_eq!((ledger.of("delivered"), ledger.of("unknown")), (3, 2));
    assert!(cut_off.iter().all(|id| gateway.arrivals_of(id) == 1));
}

/// Five were accepted; what was in an attempt is sent again.
fn assert_whole_after_restart(site: &Site, gateway: &Gateway, in_attempt: u64) {
    gateway.behave("{}");
    let service = site.start();
    assert_eq!(service.recovered(), in_attempt);
    let ledger = service.until_drained();
    assert_eq!((ledger.of("accepted"), ledger.of("delivered")), (5, 5));
    assert_eq!(gateway.arrivals().len() as u64, 5 + in_attempt);
}

#[test]
fn what_waits_at_a_clean_stop_is_still_queued_and_is_delivered_by_the_next_start() {
    let mut gateway = Gateway::gone();
    let site = Site::sending_to(&gateway)
        .with("APP_RETRY__BASE_DELAY", "500ms")
        .with("APP_RETRY__MAX_DELAY", "500ms");
    let service = site.start_with_patient();
    let ids: Vec<String> = (0..20).map(|_| service.accept()).collect();
    service.until_attempt(&ids[0], "retry");
    service.stop();
    gateway.come();
    let service = site.start();
    let ledger = service.until_drained();
    assert_eq!((ledger.of("accepted"), ledger.of("delivered")), (20, 20));
    let arrivals: HashSet<String> = gateway.arrivals().into_iter().collect();
    assert_eq!(arrivals, ids.into_iter().collect());
}

/// A request whose body does not come.
fn held(service: &Service) -> Connection {
    let mut held = Connection::open(service.http).unwrap();
    let head = "host: localhost\r\ncontent-type: application/json\r\ncontent-length: 99";
    held.write(format!("POST {ASYNC} HTTP/1.1\r\n{head}\r\n\r\n{{").as_bytes()).unwrap();
    held
}

#[test]
fn a_request_that_never_ends_cannot_hold_it_past_its_deadline() {
    let service = Site::new()
        .with("APP_SHUTDOWN__DRAIN_DEADLINE", "100ms")
        .with("APP_HTTP__BODY_TIMEOUT", "10m")
        .start();
    let _held = held(&service);
    until_so("it is in hand", || service.metrics().sum("http_requests_in_flight", &[]) == 1);
    service.signal(Signal::TERM);
    let (code, output) = service.ended();
    assert_eq!(code, 70, "{output}");
    assert!(output.contains("deadline"), "{output}");
}

#[test]
fn a_request_that_never_ends_cuts_off_no_attempt() {
    let gateway = Gateway::behaving(r#"{"latency":"100ms"}"#);
    let site = Site::sending_to(&gateway)
        .with("APP_QUEUE__WORKERS", "4")
        .with("APP_SHUTDOWN__DRAIN_DEADLINE", "4s")
        .with("APP_HTTP__BODY_TIMEOUT", "10m");
    let service = site.start_with_patient();
    let _held = held(&service);
    // More than the workers can send before the deadline.
    for _ in 0..300 {
        service.accept();
    }
    service.signal(Signal::TERM);
    assert_eq!(service.ended().0, 70);
    assert_eq!(site.start().recovered(), 0, "an attempt was cut off");
}
