//! What is answered, and to whom.

use crate::support::fleet::{Fleet, path};
use crate::support::prelude::*;
use chassis_test::{Certificate, client::ask_with};
use std::fs;

#[test]
fn the_latest_report_is_shown_and_a_missing_one_is_404() {
    let fleet = Fleet::start();
    let answer = fleet.ask(3);
    assert_eq!((answer.status, answer.header("age")), (200, None), "{answer:?}");
    let shown = answer.json();
    assert_eq!((&shown["content"], &shown["stale"]), (&"report of 3".into(), &false.into()));
    assert!(shown["reportId"].is_string() && shown["submittedAt"].as_str().unwrap().ends_with('Z'));
    fleet.ask(1_000).problem(404, "not-found");
    fleet.ctms.ask("GET", "/api/v1/patients/not%20one/latest-report", "").problem(422, "invalid");
    let answers = |source, reason| {
        fleet.ctms.metrics().sum("ctms_report_answers_total", &[("source", source), ("reason", reason)])
    };
    assert!(answers("live", "found") > 0 && answers("live", "not_found") == 1);
    assert!(fleet.ctms.metrics().sum("ctms_cache_entries", &[]) >= 1);
}

#[test]
fn without_the_epro_service_it_starts_is_ready_and_says_when_to_come_again() {
    let site = Site::ctms("static://127.0.0.1:1");
    let ctms = site.start();
    let answer = ctms.ask("GET", &path(0), "");
    assert_eq!(answer.problem(503, "epro-unavailable"), Some(1), "{answer:?}");
    let (ready, told) = ctms.readiness();
    assert!(ready && told.contains("reports come from the cache"), "{told}");
    ctms.stop();
}

/// A key for `name` by the program's own command, with the line that knows it.
fn key(name: &str, scopes: &str) -> (String, String) {
    let output = Site::ctms("static://127.0.0.1:1").run(&["new-key", name, "--scopes", scopes]);
    let text = String::from_utf8(output.stdout).unwrap();
    let (key, line) = text.trim().split_once('\n').unwrap();
    assert!(key.starts_with("ctms_"), "{key}");
    (key.to_owned(), line.to_owned())
}

#[test]
fn callers_need_a_key_here_and_we_need_one_there() {
    let ((ours, our_line), (theirs, their_line)) = (key("ctms", "read"), key("clinic", "read"));
    let (sender, sender_line) = key("diary", "send");
    let epro = Site::new();
    fs::write(epro.folder().join("keys"), format!("{our_line}\n{sender_line}\n")).unwrap();
    let epro = epro.with("APP_AUTH__API_KEYS_FILE", "keys");
    let instance = epro.start();
    let send = |key: &str| {
        let header = format!("Bearer {key}");
        let report = r#"{"patientId":"p-0","content":"fine"}"#;
        let headers = [("authorization", header.as_str())];
        ask_with(instance.http, "POST", REPORTS, &headers, report)
    };
    assert_eq!(send(&sender).status, 201);
    let site = Site::ctms(&format!("static://{}", instance.grpc));
    fs::write(site.folder().join("keys"), their_line).unwrap();
    // Another service's key: known there, but not allowed to read.
    fs::write(site.folder().join("own"), &sender).unwrap();
    let site = site.with("APP_AUTH__API_KEYS_FILE", "keys").with("APP_EPRO__API_KEY_FILE", "own");
    let ctms = site.start();
    let asked_by = |key: &str| {
        let header = format!("Bearer {key}");
        let headers = [("authorization", header.as_str())];
        ask_with(ctms.http, "GET", &path(0), &headers, "")
    };
    ctms.ask("GET", &path(0), "").problem(401, "unauthenticated");
    asked_by(&theirs).problem(503, "epro-refused");
    assert!(asked_by(&theirs).header("retry-after").is_some());
    let warned = "the ePRO service refuses our API key";
    until_so("a warning", || ctms.output().contains(warned));
    assert_eq!(ctms.lines().iter().filter(|line| line["message"].to_string().contains(warned)).count(), 1);
    assert!(ctms.readiness().0);
    // Put right while it runs.
    fs::write(site.folder().join("own"), &ours).unwrap();
    until_so("the key is taken", || asked_by(&theirs).status == 200);
    // A broken file changes nothing.
    fs::write(site.folder().join("own"), "not one key").unwrap();
    let failed = || ctms.metrics().sum("rpc_client_key_reloads_total", &[("outcome", "failed")]);
    until_so("the fault is counted", || failed() > 0);
    assert_eq!(asked_by(&theirs).status, 200);
    let shown = ctms.output() + &instance.output();
    assert!([&ours, &theirs, &sender].into_iter().all(|key| !shown.contains(key.as_str())));
}

#[test]
fn the_call_between_the_services_is_made_over_tls_where_that_is_wanted() {
    let (epro, files) = Site::new().encrypted("GRPC", &Certificate::new());
    let (cert, instance) = (files.cert.to_str().unwrap(), epro.start());
    let elsewhere = Site::new();
    let other = Certificate::new().write(elsewhere.folder()).cert;
    for (authority, name, status) in
        [(cert, "localhost", 404), (cert, "other.example", 503), (other.to_str().unwrap(), "localhost", 503)]
    {
        let ctms = Site::ctms(&format!("static://{}", instance.grpc))
            .with("APP_EPRO__TLS__ENABLED", "true")
            .with("APP_EPRO__TLS__CA_FILE", authority)
            .with("APP_EPRO__TLS__SERVER_NAME", name)
            .start();
        assert_eq!(ctms.get(&path(0)).status, status, "{authority} {name}");
    }
}
