//! The metrics page as Prometheus' own programs take it: the plain text by its linter.

use crate::{
    need,
    support::service::{ASYNC, MESSAGE, Site},
};
use std::{
    io::Write,
    process::{Command, Stdio},
};

#[test]
fn promtool_finds_nothing_wrong_with_the_page_of_a_service_that_has_worked() {
    need("promtool");
    let service = Site::new().start_with_patient();
    for (body, expected) in [(MESSAGE, 202), (r#"{"patientId":"p-1"}"#, 422), ("{", 400)] {
        let answer = service.ask("POST", ASYNC, body);
        assert_eq!(answer.status, expected, "{answer:?}");
    }
    let page = service.admin("GET", "/metrics", "").body;
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
    // The names of `tokio_*` are those of the usual collector, which promtool finds fault with.
    let ours: Vec<&str> =
        said.lines().filter(|line| !line.starts_with("tokio_") && !line.is_empty()).collect();
    assert!(ours.is_empty(), "{said}");
    let only_tokio = verdict.status.success() || said.contains("tokio_");
    assert!(only_tokio, "promtool ended with {}", verdict.status);
}
