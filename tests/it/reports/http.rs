//! Reports over HTTP.

use super::{counted, kept, latest, report, submit};
use crate::support::prelude::*;
use std::time::{Duration, SystemTime};

#[test]
fn a_report_is_kept_and_given_out_as_the_latest_and_by_its_id() {
    let service = Site::new().start();
    latest(&service, "p-1").problem(404, "not-found");
    let before = SystemTime::now() - Duration::from_millis(1);
    let answer = submit(service.http, None, &report("p-1", "slept \u{0}well 😀"));
    assert_eq!((answer.status, answer.header("cache-control")), (201, Some("no-store")), "{answer:?}");
    let id = answer.text("reportId");
    let place = format!("{REPORTS}/{id}");
    assert_eq!(answer.header("location"), Some(&*place));
    let submitted: jiff::Timestamp = answer.text("submittedAt").parse().unwrap();
    assert!(answer.text("submittedAt").ends_with('Z'), "{answer:?}");
    assert!((before..=SystemTime::now()).contains(&SystemTime::from(submitted)), "{answer:?}");

    let shown = latest(&service, "p-1");
    assert_eq!((shown.status, shown.header("cache-control")), (200, Some("no-store")), "{shown:?}");
    let at = answer.text("submittedAt");
    let whole = serde_json::json!({ "reportId": id, "content": "slept \u{0}well 😀", "submittedAt": at });
    assert_eq!(shown.json(), whole);
    assert_eq!(service.ask("GET", &place, "").json(), whole);
    latest(&service, "p-2").problem(404, "not-found");
    for nobody in ["0000000000000", "no-id", "zzzzzzzzzzzzz"] {
        service.ask("GET", &format!("{REPORTS}/{nobody}"), "").problem(404, "not-found");
    }
    let answer = latest(&service, "p%201");
    answer.problem(422, "invalid");
    assert_eq!(answer.pointers(), ["/patientId"]);
    assert_eq!(counted(&service, "success", "http"), 1);
    // The line names the report, and neither patient nor content.
    let output = service.stop_and_read();
    assert!(output.contains(&format!(r#""id":"{id}""#)), "{output}");
    assert!(!output.contains("p-1") && !output.contains("slept"), "{output}");
}

#[test]
fn of_reports_in_quick_succession_the_last_one_is_the_latest_also_after_a_restart() {
    let site = Site::new();
    let mut last = String::new();
    for run in 0..2 {
        let service = site.start();
        let mut connection = Connection::open(service.http).unwrap();
        for number in 0..60 {
            let answer =
                connection.send("POST", REPORTS, &report("p-1", &format!("report {number}"))).unwrap();
            let id = answer.text("reportId");
            assert!(id > last, "{id} came after {last}");
            let path = "/api/v1/patients/p-1/reports/latest";
            let shown = connection.send("GET", path, "").unwrap();
            assert_eq!(
                (shown.text("reportId"), shown.text("content")),
                (id.clone(), format!("report {number}"))
            );
            last = id;
        }
        kept(&service, &format!("p-other-{run}"), "of somebody else");
        service.stop();
    }
    assert_eq!(latest(&site.start(), "p-1").text("reportId"), last);
}

#[test]
fn content_is_bounded_by_its_bytes_however_it_is_written() {
    let service = Site::new().start();
    // Each byte of this one takes six in JSON.
    let escaped = format!(r#"{{"patientId":"p-1","content":"{}"}}"#, r"\u0061".repeat(32 * 1024));
    assert_eq!(submit(service.http, None, &escaped).status, 201);
    assert_eq!(latest(&service, "p-1").text("content"), "a".repeat(32 * 1024));
    assert_eq!(submit(service.http, None, &report("p-1", &"ä".repeat(16 * 1024))).status, 201);
    submit(service.http, None, &report("p-1", &"ä".repeat(16 * 1024 + 1))).problem(422, "invalid");
    submit(service.http, None, &report("p-1", &"a".repeat(32 * 1024 + 1))).problem(422, "invalid");
    submit(service.http, None, &" ".repeat(256 * 1024 + 1)).problem(413, "too-large");
    assert_eq!((counted(&service, "success", "http"), counted(&service, "failure", "http")), (2, 2));
}

#[test]
fn what_is_wrong_is_told_by_its_place_and_counted_as_a_failure() {
    let service: Service = Site::new().start();
    let wrong = [
        (r#"{"patientId":"a b","content":""}"#, vec!["/content", "/patientId"]),
        (r#"{"patientId":7}"#, vec!["/patientId"]),
        (r#"{"patientId":"p-1","content":"x","more":1}"#, vec!["/more"]),
        (r#"{"patientId":"p-1","content":"x","content":"y"}"#, vec!["/content"]),
        ("[]", vec![""]),
    ];
    for (body, places) in &wrong {
        let answer = submit(service.http, None, body);
        answer.problem(422, "invalid");
        let errors = answer.json()["errors"].as_array().unwrap().clone();
        let mut pointers: Vec<_> = errors.iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, *places, "{body}");
    }
    submit(service.http, None, "{").problem(400, "not-json");
    submit(service.http, Some("two words"), &report("p-1", "x")).problem(400, "bad-request");
    latest(&service, "p-1").problem(404, "not-found");
    assert_eq!(counted(&service, "failure", "http"), wrong.len() as u64 + 2);
    assert_eq!(counted(&service, "success", "http"), 0);
}
