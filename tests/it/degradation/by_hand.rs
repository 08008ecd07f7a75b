//! `/degradation` on the admin listener, and what is answered at the highest level.

use super::{degradation, level, pin, shed_for};
use crate::support::prelude::*;

const STUDY: &str = "/api/v1/studies/s-1/notifications";
const BULK: &str = r#"{"patientId":"p-1","message":"a reminder","priority":"bulk"}"#;
const TO_ALL: &str = r#"{"channel":"sms","message":"week 3"}"#;

fn keyed(service: &Service, path: &str, body: &str) -> (u16, bool) {
    let answer = service.keyed("k-1", path, body);
    (answer.status, replayed(&answer))
}

#[test]
fn an_operator_sees_the_level_sets_it_and_takes_his_hand_away() {
    let service = Site::new().start();
    let shown = degradation(&service, "GET", "").json();
    let feature = |name, level| json!({ "name": name, "level": level, "shed": false });
    let features =
        [feature("report_preview", 1), feature("bulk_notifications", 2), feature("report_reads", 3)];
    assert_eq!(shown["features"], json!(features));
    assert_eq!((&shown["level"], &shown["highest"], &shown["pinned"]), (&json!(0), &json!(3), &json!(false)));
    let signals: Vec<&str> =
        shown["signals"].as_array().unwrap().iter().map(|signal| signal["name"].as_str().unwrap()).collect();
    assert_eq!(signals, ["latency", "in_flight", "queue_age"]);

    let pinned = degradation(&service, "PUT", r#"{"level":2}"#);
    assert_eq!(pinned.status, 200);
    let pinned = pinned.json();
    assert_eq!((&pinned["level"], &pinned["pinned"]), (&json!(2), &json!(true)));
    let shed: Vec<bool> =
        pinned["features"].as_array().unwrap().iter().map(|one| one["shed"] == true).collect();
    assert_eq!(shed, [true, true, false]);
    let page = service.metrics();
    assert_eq!((page.sum("degradation_level", &[]), page.sum("degradation_pinned", &[])), (2, 1));

    pin(&service, "0");
    pin(&service, "\"auto\"");
    assert_eq!(service.metrics().sum("degradation_pinned", &[]), 0);
    let told = service.told("degradation set by hand", 3);
    let told: Vec<(Option<u64>, Option<bool>)> = told
        .iter()
        .map(|line| (line["fields"]["level"].as_u64(), line["fields"]["pinned"].as_bool()))
        .collect();
    assert_eq!(told, [(Some(2), Some(true)), (Some(0), Some(true)), (Some(0), Some(false))]);
}

#[test]
fn what_is_no_level_is_refused_and_changes_nothing() {
    let service = Site::new().start();
    for (body, status) in [
        ("", 400),
        ("2", 422),
        ("{", 400),
        ("{}", 422),
        (r#"{"level":4}"#, 422),
        (r#"{"level":256}"#, 422),
        (r#"{"level":-1}"#, 422),
        (r#"{"level":1.5}"#, 422),
        (r#"{"level":"2"}"#, 422),
        (r#"{"level":"Auto"}"#, 422),
        (r#"{"level":null}"#, 422),
        (r#"{"level":1,"level":2}"#, 422),
        (r#"{"level":1,"for":"1h"}"#, 422),
    ] {
        let answer = degradation(&service, "PUT", body);
        assert_eq!(answer.status, status, "{body}: {answer:?}");
    }
    let long = format!(r#"{{"level":{}1}}"#, " ".repeat(5000));
    let answer = degradation(&service, "PUT", &long);
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (413, Some("application/problem+json")),
        "{answer:?}"
    );
    let allow = degradation(&service, "POST", "");
    assert!(allow.header("allow").is_some_and(|allow| allow.contains("PUT")), "{allow:?}");
    assert_eq!(level(&service), 0);
}

#[test]
fn bulk_is_shed_from_its_level_on_and_a_repeat_still_gets_its_first_answer() {
    let service = Site::new().start();
    service.ask("PUT", "/api/v1/studies/s-1/patients/p-1", "");
    pin(&service, "1");
    assert_eq!(keyed(&service, ASYNC, BULK), (202, false));
    assert_eq!(keyed(&service, STUDY, TO_ALL), (202, false));
    pin(&service, "2");
    assert_eq!(shed_for(&service.ask("POST", ASYNC, BULK)), 30);
    assert_eq!(shed_for(&service.ask("POST", STUDY, TO_ALL)), 30);
    assert_eq!(keyed(&service, ASYNC, BULK), (202, true));
    assert_eq!(keyed(&service, STUDY, TO_ALL), (202, true));
    let normal = r#"{"channel":"sms","message":"week 3","priority":"normal"}"#;
    assert_eq!(service.ask("POST", STUDY, normal).status, 202);

    let page = service.metrics();
    // Both repeats were asked as well before it was known that they are some.
    assert_eq!(page.sum("notification_refused_total", &[("reason", "shed")]), 2);
    assert!(page.sum("load_shed_total", &[("feature", "bulk_notifications")]) >= 2);
    assert_eq!(service.until_drained().of("accepted"), 3);
}

#[test]
fn reports_are_taken_while_reading_them_is_shed() {
    let service = Site::new().start();
    pin(&service, "3");
    let submitted = service.ask("POST", REPORTS, r#"{"patientId":"p-1","content":"well"}"#);
    assert_eq!(submitted.status, 201, "{submitted:?}");
    let latest = "/api/v1/patients/p-1/reports/latest";
    let one = format!("/api/v1/reports/{}", submitted.text("reportId"));
    for path in [latest, &one] {
        assert_eq!(shed_for(&service.ask("GET", path, "")), 30);
    }
    pin(&service, "2");
    assert_eq!(service.ask("GET", latest, "").status, 200);
    assert_eq!(service.metrics().sum("load_shed_total", &[("feature", "report_reads")]), 2);
}

#[test]
fn at_the_highest_level_all_that_matters_is_answered() {
    let service = Site::new().start_with_patient();
    pin(&service, "3");
    let urgent = r#"{"patientId":"p-1","message":"a reminder","priority":"urgent"}"#;
    let push = r#"{"patientId":"p-1","title":"diary","message":"a reminder"}"#;
    for _ in 0..20 {
        assert_eq!(service.ask("POST", ASYNC, urgent).status, 202);
        assert_eq!(service.ask("POST", "/api/v1/notifications/push/async", push).status, 202);
        assert_eq!(service.ask("POST", SYNC, MESSAGE).status, 200);
        let id = service.accept();
        service.notification(&id);
    }
    for path in ["/api/v1/dead-letters", "/api/v1/patients/p-1", "/api/v1/openapi.json"] {
        assert_eq!(service.ask("GET", path, "").status, 200, "{path}");
    }
    assert!(service.readiness().0);
    assert_eq!(service.metrics().sum("load_shed_total", &[]), 0);
}
