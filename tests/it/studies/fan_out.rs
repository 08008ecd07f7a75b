//! A message to a study: bodies, bounds, times, devices, and the batch that is shown.

use super::{SEND, SMS, batch, enrol, enrol_many, finished, send, site};
use crate::support::prelude::*;
use jiff::{SignedDuration, Timestamp};

#[test]
fn a_message_reaches_everybody_once_and_is_counted() {
    let (gateway, site) = site();
    let service = site.start();
    enrol_many(service.http, 200);
    let id = send(&service, SMS, 200);
    let shown = finished(&service, &id);
    assert_eq!((&shown["counts"]["delivered"], &shown["priority"]), (&200.into(), &"bulk".into()), "{shown}");
    assert_eq!(shown["counts"].as_object().unwrap().len(), 8, "every status is there: {shown}");
    let mut arrivals = gateway.arrivals();
    arrivals.sort();
    arrivals.dedup();
    assert_eq!((arrivals.len(), gateway.arrivals().len()), (200, 200));
    let one = service.notification(&arrivals[0]);
    assert_eq!((&one["status"], &one["priority"]), (&"delivered".into(), &"bulk".into()));
    assert_ne!(one["traceId"], shown["traceId"], "each notification has a trace of its own");
    let metrics = service.counted();
    let labels = [("channel", "sms"), ("priority", "bulk")];
    assert_eq!(metrics.sum("notification_accepted_total", &labels), 200);
    assert_eq!(metrics.sum("queue_batch_jobs_pending", &[]), 0);
    assert_eq!(service.until_drained().of("delivered"), 200);
}

#[test]
fn a_push_goes_to_every_device_and_counts_as_one() {
    let (gateway, site) = site();
    let service = site.start();
    let two = r#"{"pushTokens":[{"platform":"fcm","token":"a"},{"platform":"ios","token":"b"}]}"#;
    service.contact("p-1", two);
    service.contact("p-2", r#"{"pushTokens":[{"platform":"fcm","token":"c"}]}"#);
    service.contact("p-3", PATIENT);
    ["p-1", "p-2", "p-3"].iter().for_each(|patient| drop(enrol(&service, patient)));
    let id = send(&service, super::TO_DEVICES, 2);
    let shown = finished(&service, &id);
    assert_eq!((&shown["skipped"], &shown["counts"]["delivered"]), (&1.into(), &2.into()), "{shown}");
    assert_eq!(gateway.arrivals().len(), 3);
    assert_eq!(service.ledger().of("delivered"), 3, "the ledger counts jobs");
    let mut arrivals = gateway.arrivals();
    arrivals.sort();
    assert_eq!(service.notification(&arrivals[0])["jobs"].as_array().unwrap().len(), 2);
}

#[test]
fn it_is_accepted_whole_or_not_at_all() {
    let gateway = Gateway::behaving(r#"{"blackHole":true}"#);
    let service = Site::sending_to(&gateway)
        .with("APP_QUEUE__MAX_BACKLOG", "50")
        .with("APP_QUEUE__WORKERS", "2")
        .with("APP_SMS__HTTP__TIMEOUT", "20s")
        .start_with_patient();
    enrol_many(service.http, 50);
    let one = service.accept();
    let refused = service.ask("POST", SEND, SMS);
    assert!(refused.problem(503, "backlog-full").is_some_and(|seconds| seconds >= 1));
    let metrics = service.metrics();
    assert_eq!(metrics.sum("notification_refused_total", &[("reason", "backlog_full")]), 1);
    assert_eq!(service.ledger().of("accepted"), 1, "nothing of it was left behind");
    assert_eq!(service.ask("DELETE", "/api/v1/studies/s-1/patients/many-0", "").status, 204);
    let id = send(&service, SMS, 49);
    assert_eq!(service.ledger().of("queued"), 50);
    until_so("everything is expanded", || service.counted().sum("queue_batch_jobs_pending", &[]) == 0);
    assert_eq!(service.ask("POST", ASYNC, MESSAGE).status, 503);
    assert_ne!(batch(&service, &id)["status"], "finished");
    assert_eq!(service.notification(&one)["status"], "sending");
}

#[test]
fn a_message_for_later_waits_as_scheduled_and_across_a_restart() {
    let (gateway, site) = site();
    let service = site.start();
    enrol_many(service.http, 20);
    let at = (Timestamp::now() + SignedDuration::from_secs(3)).round(jiff::Unit::Millisecond).unwrap();
    let body = SMS.replace('}', &format!(r#","sendAt":"{at}","priority":"normal"}}"#));
    let id = send(&service, &body, 20);
    let page = service.counted();
    let gauge = |state| page.sum("queue_jobs", &[("state", state)]);
    assert_eq!((gauge("scheduled"), gauge("ready")), (20, 0));
    service.kill();
    let service = site.start();
    assert_eq!(service.ledger().of("accepted"), 20);
    let shown = batch(&service, &id);
    assert_eq!(
        (shown["dueAt"].as_str().unwrap().parse().ok(), &shown["priority"]),
        (Some(at), &"normal".into())
    );
    assert_eq!(finished(&service, &id)["counts"]["delivered"], 20);
    assert!(Timestamp::now() >= at);
    assert_eq!(gateway.arrivals().len(), 20);
}

#[test]
fn a_faulty_body_is_told_and_stores_nothing() {
    let service = Site::new().start();
    enrol(&service, "p-1");
    for (body, pointer) in [
        (r#"{"message":"x"}"#, "/channel"),
        (r#"{"channel":"fax","message":"x"}"#, "/channel"),
        (r#"{"channel":"sms"}"#, "/message"),
        (r#"{"channel":"sms","message":"x","title":"t"}"#, "/title"),
        (r#"{"channel":"push","message":"x"}"#, "/title"),
        (r#"{"channel":"sms","message":"x","patientId":"p-1"}"#, "/patientId"),
        (r#"{"channel":"sms","message":"x","priority":"low"}"#, "/priority"),
        (r#"{"channel":"sms","message":"x","priority":{"urgent":null}}"#, "/priority"),
        (r#"{"channel":{"sms":null},"message":"x"}"#, "/channel"),
        (r#"{"channel":"sms","message":"x","notAfter":"2020-01-01T00:00:00Z"}"#, "/notAfter"),
    ] {
        let answer = service.ask("POST", SEND, body);
        answer.problem(422, "invalid");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{answer:?}");
    }
    service.ask("POST", "/api/v1/studies/s%201/notifications", SMS).problem(422, "invalid");
    for unknown in ["0000000000001", "nonsense"] {
        service.ask("GET", &format!("/api/v1/batches/{unknown}"), "").problem(404, "not-found");
    }
    assert_eq!(service.ledger().of("accepted"), 0);
}
