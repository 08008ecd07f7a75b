//! The level of a running service rises with what there is to do, and falls when it is over.

use super::{degradation, level, shed_for};
use crate::support::prelude::*;

const BULK: &str = r#"{"patientId":"p-1","message":"a reminder","priority":"bulk"}"#;

#[test]
fn many_requests_in_hand_shed_bulk_until_they_are_answered() {
    let gateway = Gateway::behaving(r#"{"blackHole":true}"#);
    let site = Site::sending_to(&gateway)
        .with("APP_SMS__HTTP__TIMEOUT", "8s")
        .with("APP_DEGRADATION__IN_FLIGHT", "4")
        .with("APP_DEGRADATION__HOLD", "500ms");
    let service = site.start_with_patient();
    let http = service.http;
    let waiting: Vec<_> =
        (0..8).map(|_| std::thread::spawn(move || ask(http, "POST", SYNC, MESSAGE).unwrap())).collect();
    until_so("everything is shed", || level(&service) == 3);
    let seconds = shed_for(&service.ask("POST", ASYNC, BULK));
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(service.ask("POST", ASYNC, MESSAGE).status, 202);
    let is_rise = |line: &Value| line["message"].as_str().is_some_and(|text| text.ends_with("rises"));
    let rises = || service.lines().into_iter().filter(is_rise).collect::<Vec<_>>();
    // Lines are written some milliseconds after what they tell.
    until_so("each rise is told", || rises().len() >= 3);
    let by: Vec<_> = rises().iter().map(|line| line["fields"]["signal"].clone()).collect();
    assert_eq!(by, vec![json!("in_flight"); 3]);

    // The gateway's time-outs answer them.
    waiting.into_iter().for_each(|call| assert_eq!(call.join().unwrap().status, 504));
    until_so("all is back", || level(&service) == 0);
    assert_eq!(service.ask("POST", ASYNC, BULK).status, 202);
    assert_eq!(degradation(&service, "GET", "").json()["pinned"], false);
}

#[test]
fn jobs_that_wait_too_long_shed_what_feeds_the_queue_and_no_more() {
    let gateway = Gateway::behaving(r#"{"blackHole":true}"#);
    let site = Site::sending_to(&gateway)
        .with("APP_QUEUE__WORKERS", "1")
        .with("APP_SMS__HTTP__TIMEOUT", "3s")
        .with("APP_DEGRADATION__QUEUE_AGE", "1s")
        .with("APP_DEGRADATION__HOLD", "500ms");
    let service = site.start_with_patient();
    (0..4).for_each(|_| drop(service.accept()));
    until_so("bulk is shed", || level(&service) == 2);
    shed_for(&service.ask("POST", ASYNC, BULK));
    gateway.behave("{}");
    // What is retried is no younger, but nobody waits for a first attempt.
    until_so("all is back", || level(&service) == 0);
    assert!(service.lines().iter().all(|line| line["fields"]["level"] != 3));
    assert_eq!(service.until_drained().of("delivered"), 4);
}
