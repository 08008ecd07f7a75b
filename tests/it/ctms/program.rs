//! The program: its command line, its configuration and its description, as far as they are its own.

use crate::support::prelude::*;

fn site() -> Site {
    Site::ctms("static://127.0.0.1:1")
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
    let mut site = site();
    variables.iter().for_each(|(key, value)| site.set(key, value));
    let faults = site.faults(&["serve"]);
    assert!(variables.iter().all(|(key, _)| faults.iter().any(|fault| fault.contains(key))), "{faults:#?}");
    assert_eq!(faults.len(), variables.len(), "{faults:#?}");
}

#[test]
fn its_command_line_is_its_own_and_speaks_of_itself() {
    for argument in ["--help", "--version"] {
        let output = site().run(&[argument]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.contains("ctms") && !said.contains("epro-notify"), "{said}");
    }
    let unhealthy = site().with("APP_ADMIN__LISTEN", "127.0.0.1:1").run(&["healthcheck"]);
    assert_eq!(unhealthy.status.code(), Some(70), "{unhealthy:?}");
    let described: Value = serde_json::from_slice(&site().run(&["openapi"]).stdout).unwrap();
    assert_eq!(described["info"]["title"], "ctms");
    let latest = &described["paths"]["/api/v1/patients/{patientId}/latest-report"]["get"];
    assert!(latest["responses"]["200"]["headers"]["Age"].is_object(), "{latest}");
    for status in ["404", "422", "503"] {
        assert!(latest["responses"][status].is_object(), "{status}");
    }
}

#[test]
fn a_running_one_shows_its_description() {
    let service = site().start();
    assert!(service.get("/api/v1/openapi.json").body.contains("latest-report"));
    assert!(matches!(service.get("/api/v1/docs").status, 200 | 303));
}
