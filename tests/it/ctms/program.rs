//! The program: its command line, its configuration and its description, as far as they are its own.

use crate::support::{json_schema::faults, process::ask, service::Site};
use epro_notify::ctms;
use http::Method;
use serde_json::Value;
use std::process::{Command, Output};

fn program(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctms"));
    command.env_clear().envs(variables.iter().copied()).args(arguments);
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn bad_configuration_is_told_by_key_at_once_and_exits_64() {
    let variables = [
        ("APP_EPRO__TARGET", "ftp://somewhere"),
        ("APP_EPRO__DEADLINE", "1h"),
        ("APP_EPRO__API_KEY_FILE", "/no/such/file"),
        ("APP_HTTP__LISTEN", "0.0.0.0:8081"),
        ("APP_STORE__URL", "sqlite://data/other.db"),
    ];
    let output = program(&variables, &["serve"]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(variables.iter().all(|(key, _)| told.contains(key)), "{told}");
    assert_eq!(told.lines().count(), variables.len(), "{told}");
}

#[test]
fn its_command_line_is_its_own_and_speaks_of_itself() {
    for argument in ["--help", "--version"] {
        let output = program(&[], &[argument]);
        assert!(output.status.success() && stdout(&output).contains("ctms"), "{output:?}");
        assert!(!stdout(&output).contains("epro-notify"), "{output:?}");
    }
    let document = stdout(&program(&[], &["--print-config"]));
    for line in [
        "listen = \"127.0.0.1:8081\"",
        "listen = \"127.0.0.1:9465\"",
        "target = \"static://127.0.0.1:50051\"",
        "deadline = \"2s\"",
        "cache_max = 10000",
    ] {
        assert!(document.lines().any(|found| found == line), "{line}: {document}");
    }
    let unhealthy = program(&[("APP_ADMIN__LISTEN", "127.0.0.1:1")], &["healthcheck"]);
    assert_eq!(unhealthy.status.code(), Some(70), "{unhealthy:?}");
    let described: Value = serde_json::from_str(&stdout(&program(&[], &["openapi"]))).unwrap();
    assert_eq!(described["info"]["title"], "ctms");
}

#[test]
fn every_route_is_described_and_its_example_is_of_its_schema() {
    let document: Value = serde_json::from_str(&ctms::document().to_json().unwrap()).unwrap();
    for listed in ctms::listed().iter().filter(|listed| listed.method != Method::HEAD) {
        let method = listed.method.as_str().to_lowercase();
        assert!(document["paths"][listed.path][&method].is_object(), "{method} {}", listed.path);
    }
    let latest = &document["paths"]["/api/v1/patients/{patientId}/latest-report"]["get"];
    assert_eq!(latest["x-scope"], "read");
    let answer = &latest["responses"]["200"];
    assert!(answer["headers"]["Age"].is_object(), "{answer}");
    let content = &answer["content"]["application/json"];
    assert_eq!(faults(&document, &content["schema"], &content["example"]), [""; 0]);
    for status in ["404", "422", "502", "503"] {
        assert!(latest["responses"][status].is_object(), "{status}");
    }
}

#[test]
fn a_running_one_shows_its_description_and_what_its_problems_mean() {
    let service = Site::ctms("static://127.0.0.1:1").start();
    for (path, told) in [
        ("/api/v1/openapi.json", "getLatestReport"),
        ("/api/v1/docs", "latest-report"),
        ("/problems/epro-unavailable", "503"),
    ] {
        let answer = ask(service.http, path).unwrap();
        assert!(answer.status == 200 && answer.body.contains(told), "{path}: {answer:?}");
    }
    service.stop();
}
