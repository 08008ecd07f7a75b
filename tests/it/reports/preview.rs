//! Previews where nothing can be drawn, and where there is too much to do. What a drawn one looks like is
//! told in `tests/peers/preview.rs`, which has a font.

#[cfg(feature = "pdf")]
use crate::degradation::{pin, shed_for};
use crate::support::prelude::*;
#[cfg(feature = "pdf")]
use std::fs;

const REPORT: &str = r#"{"patientId":"p-1","content":"头痛 since Monday"}"#;
#[cfg(feature = "pdf")]
const BULK: &str = r#"{"patientId":"p-1","message":"week 3","priority":"bulk"}"#;

fn preview(id: &str) -> String {
    format!("/api/v1/reports/{id}/preview.pdf")
}

#[test]
fn without_a_font_the_answer_says_what_is_missing() {
    let service = Site::new().start();
    let id = service.ask("POST", REPORTS, REPORT).text("reportId");
    let answer = service.get(&preview(&id));
    if !cfg!(feature = "pdf") {
        answer.problem(404, "not-found");
        return;
    }
    answer.problem(501, "preview-unavailable");
    assert!(answer.text("detail").contains("APP_REPORTS__PREVIEW__FONT_FILE"), "{answer:?}");
    assert_eq!(service.get(&preview("no-id")).status, 404);
    assert_eq!(service.ask("POST", &preview(&id), "").status, 405);
}

#[cfg(feature = "pdf")]
#[test]
fn a_font_that_cannot_be_used_is_a_fault_before_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("no-font.ttf");
    fs::write(&text, "plainly no font").unwrap();
    let empty = folder.path().join("empty.ttf");
    fs::write(&empty, "").unwrap();
    let missing = folder.path().join("missing.ttf");
    for file in [&text, &empty, &missing, &folder.path().to_owned()] {
        let site = Site::new().with("APP_REPORTS__PREVIEW__FONT_FILE", file.to_str().unwrap());
        let faults = site.faults(&["check-config"]);
        assert!(faults.len() == 1 && faults[0].contains("APP_REPORTS__PREVIEW__FONT_FILE"), "{faults:?}");
    }
}

#[cfg(feature = "pdf")]
#[test]
fn previews_are_shed_first_and_reports_never() {
    let service = Site::new().start_with_patient();
    let mut last = String::new();
    for (level, preview_shed, bulk_shed) in [("1", true, false), ("2", true, true), ("3", true, true)] {
        pin(&service, level);
        let submitted = service.ask("POST", REPORTS, REPORT);
        assert_eq!(submitted.status, 201, "{submitted:?}");
        last = submitted.text("reportId");
        for (path, shed) in [(preview(&last), preview_shed), (ASYNC.to_owned(), bulk_shed)] {
            let (method, body) = if path == ASYNC { ("POST", BULK) } else { ("GET", "") };
            let answer = service.ask(method, &path, body);
            if shed {
                assert!(shed_for(&answer) >= 1);
            } else {
                assert_eq!(answer.status, 202, "{answer:?}");
            }
        }
    }
    let page = service.metrics();
    assert_eq!(page.sum("load_shed_total", &[("feature", "report_preview")]), 3);
    assert_eq!(page.sum("load_shed_total", &[("feature", "bulk_notifications")]), 2);
    pin(&service, "0");
    // There is no font, which the handler says: it is asked again.
    assert_eq!(service.get(&preview(&last)).status, 501);
    assert_eq!(service.ask("POST", ASYNC, BULK).status, 202);
}
