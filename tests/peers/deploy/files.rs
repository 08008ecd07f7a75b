//! The shipped files as their own programs check them, and broken ones, which they refuse.

use super::collector::{CONFIG, judged};
use crate::program::shipped;
use std::{fs, path::Path, process::Command};

fn validated(config: &Path) -> Result<String, String> {
    let mut command = Command::new("otelcol");
    command.arg("validate").arg("--config").arg(config);
    judged(command)
}

#[test]
fn the_collector_takes_its_configuration_and_refuses_a_broken_one() {
    validated(&shipped(CONFIG)).unwrap();
    let text = fs::read_to_string(shipped(CONFIG)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("config.yaml");
    for (word, other) in [
        ("sampling_percentage", "sampling_percent"),
        ("receivers: [file_log]", "receivers: [filelogs]"),
        ("span.status.message", "span.status.text"),
    ] {
        assert!(text.contains(word), "{word}");
        fs::write(&broken, text.replace(word, other)).unwrap();
        validated(&broken).expect_err(other);
    }
}

#[test]
fn prometheus_takes_its_configuration_with_its_rules() {
    let mut command = Command::new("promtool");
    command.args(["check", "config"]).arg(shipped("deploy/prometheus/prometheus.yml"));
    let said = judged(command).unwrap();
    assert!(said.contains("SUCCESS") && said.contains("rules"), "{said}");
}

#[test]
fn the_compose_file_is_what_docker_would_take() {
    let judge = |file: &Path| {
        let mut command = Command::new("compose-spec");
        command.arg(file);
        judged(command)
    };
    let said = judge(&shipped("deploy/compose.yaml")).unwrap();
    assert!(said.contains("otel-collector:") && said.contains("published: \"3000\""), "{said}");

    let text = fs::read_to_string(shipped("deploy/compose.yaml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("compose.yaml");
    for (word, other) in [
        ("condition: service_healthy", "condition: healthy"),
        ("mem_limit: 1g", "memory_limit: 1g"),
        ("127.0.0.1:3000:3000", "127.0.0.1:http:3000"),
    ] {
        assert!(text.contains(word), "{word}");
        fs::write(&broken, text.replace(word, other)).unwrap();
        judge(&broken).expect_err(other);
    }
}
