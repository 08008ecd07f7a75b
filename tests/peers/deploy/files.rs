//! The shipped files as their own programs check them, and broken ones, which they refuse.

use super::collector::{CONFIG, judged};
use crate::program::shipped;
use std::{fs, path::Path, process::Command};

/// What a program says of a shipped file as its last argument. Fails unless it refuses each of the file's words replaced.
fn taken_but_not_broken(program: &[&str], file: &str, replaced: [(&str, &str); 3]) -> String {
    let judge = |file: &Path| {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(file);
        judged(command)
    };
    let text = fs::read_to_string(shipped(file)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.yaml");
    for (word, other) in replaced {
        assert!(text.contains(word), "{word}");
        fs::write(&broken, text.replace(word, other)).unwrap();
        judge(&broken).expect_err(other);
    }
    judge(&shipped(file)).unwrap()
}

#[test]
fn the_collector_takes_its_configuration_and_refuses_a_broken_one() {
    let replaced = [
        ("sampling_percentage", "sampling_percent"),
        ("receivers: [file_log]", "receivers: [filelogs]"),
        ("span.status.message", "span.status.text"),
    ];
    taken_but_not_broken(&["otelcol", "validate", "--config"], CONFIG, replaced);
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
    let replaced = [
        ("condition: service_healthy", "condition: healthy"),
        ("mem_limit: 1g", "memory_limit: 1g"),
        ("127.0.0.1:3000:3000", "127.0.0.1:http:3000"),
    ];
    let said = taken_but_not_broken(&["compose-spec"], "deploy/compose.yaml", replaced);
    assert!(said.contains("otel-collector:") && said.contains("published: \"3000\""), "{said}");
}
