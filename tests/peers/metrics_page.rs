//! The metrics page as Prometheus' own linter judges it.

use crate::service::{Connection, Service, need};
use std::{
    io::Write,
    process::{Command, Stdio},
};

#[test]
fn promtool_finds_nothing_wrong_with_the_page_of_a_service_that_has_worked() {
    need("promtool");
    let service = Service::start();
    let mut http = Connection::open(service.http).unwrap();
    let good = r#"{"patientId":"p-1","message":"a reminder"}"#;
    for (body, expected) in [(good, 202), (r#"{"patientId":"p-1"}"#, 422), ("{", 400)] {
        let (status, answer) = http.send("POST", "/api/v1/notifications/sms/async", body).unwrap();
        assert_eq!(status, expected, "{answer}");
    }
    let (status, page) = Connection::open(service.admin).unwrap().send("GET", "/metrics", "").unwrap();
    assert_eq!(status, 200);
    assert!(page.contains("http_request_duration_seconds_bucket"), "{page}");

    let mut promtool = Command::new("promtool");
    let piped = promtool
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut linter = piped.spawn().unwrap();
    linter.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let verdict = linter.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&verdict.stderr).into_owned() + &String::from_utf8_lossy(&verdict.stdout);
    assert!(verdict.status.success() && said.trim().is_empty(), "{said}");
}
