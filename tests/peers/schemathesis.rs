//! The running service judged by its own description: schemathesis makes valid and invalid calls of every
//! operation out of the OpenAPI document, and finds whatever answer the document does not say.

use crate::{
    need,
    program::shipped,
    support::{
        gateway::Gateway,
        keys::{line, text, with_keys},
        service::{MESSAGE, SYNC, Service, Site},
    },
};
use serde_json::Value;
use std::{fs, process::Command};

#[test]
fn schemathesis_finds_no_answer_that_is_not_described() {
    need("schemathesis");
    let filled = with_dead_letters();
    let site = Site::new().with("APP_STORE__URL", &format!("sqlite://{}", filled.store().display()));
    let folder = site.folder().to_owned();
    let service = with_keys(site, &[line("schemathesis", "send,read,operate")]).start();
    let document = service.ask("GET", "/api/v1/openapi.json", "");
    // From a file: what it is given by its address it leaves out of the operations.
    let file = folder.join("openapi.json");
    fs::write(&file, &document.body).unwrap();
    let judged = Command::new("schemathesis")
        .arg("--config-file")
        .arg(shipped("tests/peers/schemathesis/schemathesis.toml"))
        .args(["--no-color", "run", "--url"])
        .arg(format!("http://{}", service.http))
        .arg(file)
        // What it leaves behind is left there.
        .current_dir(&folder)
        .env("EPRO_NOTIFY_KEY", text("schemathesis"))
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&judged.stdout).into_owned() + &String::from_utf8_lossy(&judged.stderr);
    println!("{said}");
    assert!(judged.status.success(), "schemathesis ended with {}", judged.status);
    assert!(
        said.contains(&format!("Tested: {}\n", operations(&document.json()))),
        "not every operation was tested"
    );
    assert_eq!(panics(&service), 0);
}

/// A site whose store holds what a console never leaves: dead and unknown notifications.
fn with_dead_letters() -> Site {
    let gateway = Gateway::behaving(r#"{"status":400}"#);
    let site = Site::sending_to(&gateway)
        .with("APP_SMS__HTTP__TIMEOUT", "200ms")
        .with("APP_RETRY__ON_UNKNOWN", "hold");
    let service = site.start_with_patient();
    (0..20).for_each(|_| assert_eq!(service.ask("POST", SYNC, MESSAGE).status, 502));
    gateway.behave(r#"{"blackHole":true}"#);
    (0..2).for_each(|_| assert_eq!(service.ask("POST", SYNC, MESSAGE).status, 504));
    service.stop();
    site
}

fn operations(document: &Value) -> usize {
    document["paths"].as_object().unwrap().values().map(|item| item.as_object().unwrap().len()).sum()
}

fn panics(service: &Service) -> usize {
    service.lines().iter().filter(|line| line["level"] == "ERROR").count()
}
