//! Receipts: queued with the report or not at all, and never a reason to refuse one.

use super::{kept, latest, receipts, report, submit};
use crate::support::prelude::*;

const TOKENS: &str = r#"{"pushTokens":[{"platform":"fcm","token":"one"},{"platform":"ios","token":"two"}]}"#;

#[test]
fn a_receipt_is_sent_in_the_trace_of_its_report_and_not_again_for_a_repeat() {
    let gateway = Gateway::start();
    let site = Site::sending_to(&gateway).with("APP_REPORTS__RECEIPT", "sms");
    let service = site.start();
    service.contact("p-1", PATIENT);
    let context = TraceParent::new();
    let headers = [("traceparent", &*context.to_string()), ("idempotency-key", "once")];
    let answer = service.ask_with("POST", REPORTS, &headers, &report("p-1", "x"));
    assert_eq!(answer.status, 201, "{answer:?}");
    gateway.has_received(1);
    assert!(replayed(&submit(service.http, Some("once"), &report("p-1", "x"))));
    assert_eq!(service.until_drained().of("delivered"), 1);
    let [id] = &gateway.arrivals()[..] else { panic!("{:?}", gateway.arrivals()) };
    let shown = service.until_status(id, "delivered");
    assert_eq!(shown["traceId"], context.trace_id);
    assert_eq!((&shown["channel"], &shown["priority"]), (&"sms".into(), &"normal".into()));
    assert_eq!(receipts(&service, "queued"), 1);
}

#[test]
fn a_push_receipt_goes_to_each_device() {
    let gateway = Gateway::start();
    let site = Site::new().pushing_to(&gateway.url()).with("APP_REPORTS__RECEIPT", "push");
    let service = site.start();
    service.contact("p-1", TOKENS);
    kept(&service, "p-1", "x");
    kept(&service, "p-nobody", "x");
    assert_eq!(service.until_drained().of("delivered"), 2);
    assert_eq!((receipts(&service, "queued"), receipts(&service, "no_contact")), (1, 1));
}

#[test]
fn without_a_contact_or_room_the_report_is_kept_and_the_receipt_counted_as_left_out() {
    let gateway = Gateway::behaving(r#"{"blackHole":true}"#);
    let site = Site::sending_to(&gateway)
        .with("APP_REPORTS__RECEIPT", "sms")
        .with("APP_QUEUE__MAX_BACKLOG", "2")
        .with("APP_SMS__HTTP__TIMEOUT", "20s");
    let service = site.start();
    service.contact("p-1", PATIENT);
    for number in 0..4 {
        kept(&service, "p-nobody", &format!("nobody {number}"));
    }
    // Those who got none have left no room taken.
    for number in 0..5 {
        kept(&service, "p-1", &format!("report {number}"));
    }
    assert_eq!(latest(&service, "p-1").text("content"), "report 4");
    let of = |outcome| receipts(&service, outcome);
    assert_eq!((of("queued"), of("no_contact"), of("backlog_full")), (2, 4, 3));
    assert_eq!(service.ledger().of("accepted"), 2);
    assert_eq!(super::counted(&service, "success", "http"), 9);
}

#[test]
fn a_receipt_that_fits_no_notification_is_a_fault_at_start() {
    let site = Site::new()
        .with("APP_REPORTS__RECEIPT_TEXT", &"x".repeat(1601))
        .with("APP_REPORTS__RECEIPT_TITLE", &"x".repeat(121))
        .with("APP_REPORTS__RECEIPT", "letter");
    let faults = site.faults(&[]);
    for key in ["RECEIPT_TEXT", "RECEIPT_TITLE", "RECEIPT"] {
        assert!(faults.iter().any(|fault| fault.contains(key)), "{key}: {faults:#?}");
    }
}
