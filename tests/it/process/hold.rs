//! A crash in an attempt under `ON_UNKNOWN=hold`, and in a synchronous call: a person decides.

use crate::support::prelude::*;
use std::thread;

/// The ids listed under this status.
fn listed(service: &Service, status: &str) -> Vec<String> {
    let answer = service.ask("GET", &format!("/api/v1/dead-letters?status={status}"), "");
    assert_eq!(answer.status, 200, "{answer:?}");
    let items = answer.json()["items"].as_array().unwrap().clone();
    let mut ids: Vec<String> = items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

/// Kills the service while `workers` attempts and a synchronous call wait for the gateway, with two more
/// accepted. Returns all ids in the order of their making; the synchronous one is the last.
fn crash_in_attempts(site: &Site, gateway: &Gateway, workers: usize) -> Vec<String> {
    gateway.behave(r#"{"blackHole":true}"#);
    let service = site.start_with_patient();
    let mut ids: Vec<String> = (0..workers + 2).map(|_| service.accept()).collect();
    gateway.has_received(workers);
    let http = service.http;
    let caller = thread::spawn(move || ask(http, "POST", SYNC, MESSAGE));
    gateway.has_received(workers + 1);
    ids.extend(gateway.arrivals().into_iter().filter(|id| !ids.contains(id)).collect::<Vec<_>>());
    service.kill();
    assert!(caller.join().unwrap().is_err(), "there was no answer to give");
    gateway.behave("{}");
    ids
}

#[test]
fn what_was_in_an_attempt_at_the_crash_waits_for_a_person_and_is_not_sent_again() {
    let gateway = Gateway::start();
    let site =
        Site::sending_to(&gateway).with("APP_QUEUE__WORKERS", "3").with("APP_RETRY__ON_UNKNOWN", "hold");
    let ids = crash_in_attempts(&site, &gateway, 3);
    let (begun, waited): (Vec<_>, Vec<_>) = ids.iter().cloned().partition(|id| gateway.arrivals_of(id) == 1);
    assert_eq!((begun.len(), waited.len()), (4, 2), "three workers and a synchronous call");

    let service = site.start();
    assert_eq!(service.recovered(), 4);
    waited.iter().for_each(|id| drop(service.until_status(id, "delivered")));
    assert_eq!(listed(&service, "unknown"), begun);
    for id in &begun {
        let shown = service.notification(id);
        assert_eq!(
            (&shown["status"], &shown["reason"]),
            (&"unknown".into(), &"interrupted".into()),
            "{shown}"
        );
        assert_eq!(outcomes(&shown), ["unknown"]);
    }
    // Another start changes nothing about it.
    service.stop();
    let service = site.start();
    assert_eq!(service.recovered(), 0);
    assert_eq!(listed(&service, "unknown"), begun);
    begun.iter().for_each(|id| assert_eq!(gateway.arrivals_of(id), 1));
    decide(&service, &gateway, &begun);
}

/// A person's three decisions: it arrived, it did not, send it again.
fn decide(service: &Service, gateway: &Gateway, unknown: &[String]) {
    assert_eq!(service.resolve(&unknown[0], "delivered").status, 200);
    assert_eq!(service.resolve(&unknown[1], "dead").status, 200);
    assert_eq!(service.replay(&unknown[2]).status, 202);
    assert_eq!(service.until_status(&unknown[0], "delivered")["status"], "delivered");
    assert_eq!(listed(service, "dead"), std::slice::from_ref(&unknown[1]));
    let replayed = service.until_status(&unknown[2], "delivered");
    assert_eq!(outcomes(&replayed), ["unknown", "replayed", "delivered"]);
    let arrivals: Vec<usize> = unknown.iter().map(|id| gateway.arrivals_of(id)).collect();
    assert_eq!(arrivals, [1, 1, 2, 1], "only what was replayed was sent again");
    assert_eq!(service.resolve(&unknown[0], "dead").problem(409, "not-unknown"), None);
    let ledger = service.ledger();
    assert_eq!((ledger.of("unknown"), ledger.of("delivered"), ledger.of("dead")), (1, 4, 1));
}

#[test]
fn under_retry_the_same_jobs_are_sent_again_but_for_the_synchronous_one() {
    let gateway = Gateway::start();
    let site = Site::sending_to(&gateway).with("APP_QUEUE__WORKERS", "3");
    let ids = crash_in_attempts(&site, &gateway, 3);
    let synchronous = ids.last().unwrap().clone();
    let service = site.start();
    let ledger = service.until_drained();
    assert_eq!((ledger.of("delivered"), ledger.of("unknown")), (5, 1));
    assert_eq!(listed(&service, "unknown"), std::slice::from_ref(&synchronous));
    assert_eq!(gateway.arrivals_of(&synchronous), 1);
    let twice: Vec<Value> =
        ids.iter().filter(|id| gateway.arrivals_of(id) == 2).map(|id| service.notification(id)).collect();
    assert_eq!(twice.len(), 3);
    twice.iter().for_each(|shown| assert_eq!(outcomes(shown), ["unknown", "delivered"]));
}
