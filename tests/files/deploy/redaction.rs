//! The collector's allow-list is what the services say: neither less, which would blind an operator, nor more.

use super::{fields::Fields, repository, texts, yaml};
use crate::services::TELLING;
use chassis_telemetry::attributes::SAFE;
use chassis_test::lines::KEYS;
use epro_notify::app::SAFE_ATTRIBUTES;
use std::{collections::BTreeSet, fs};

/// What SDKs and the collector add to a resource or a record, and what fields of spans are no attributes.
const OF_RESOURCES: [&str; 9] = [
    "deployment.environment.name", "k8s.namespace.name", "k8s.pod.name", "service.instance.id",
    "service.name", "service.version", "telemetry.sdk.language", "telemetry.sdk.name",
    "telemetry.sdk.version",
];
const OF_THE_RECEIVER: &str = "log.iostream";

fn allowed(processor: &str) -> BTreeSet<String> {
    let config = yaml("deploy/otel-collector/config.yaml");
    let list = texts(&config["processors"][processor]["allowed_keys"]);
    let set: BTreeSet<String> = list.iter().cloned().collect();
    assert_eq!(set.len(), list.len(), "{processor} lists a key twice");
    set
}

/// Names of fields in the lines of all sources.
fn of_lines() -> BTreeSet<String> {
    let crates = fs::read_dir(repository("crates")).unwrap().map(|entry| entry.unwrap().path().join("src"));
    let mut lines: BTreeSet<String> = crates
        .chain([repository("src")])
        .filter(|folder| !folder.to_string_lossy().contains("chassis-test"))
        .flat_map(|folder| Fields::under(&folder).of_lines)
        .collect();
    lines.extend(KEYS.map(str::to_owned));
    lines
}

#[test]
fn every_attribute_that_a_span_can_have_passes_and_no_other() {
    let spans = allowed("redaction/spans");
    let safe = SAFE.split_whitespace().chain(SAFE_ATTRIBUTES.iter().copied());
    let mut known: BTreeSet<String> = safe.map(str::to_owned).collect();
    let missing: Vec<&String> = known.difference(&spans).collect();
    assert!(missing.is_empty(), "deploy/otel-collector/config.yaml would take away {missing:?}");
    known.extend(OF_RESOURCES.map(str::to_owned));
    let more: Vec<&String> = spans.difference(&known).collect();
    assert!(more.is_empty(), "spans never have {more:?}");
}

#[test]
fn every_field_that_a_line_can_have_passes_and_no_other() {
    let (lines, mut known) = (allowed("redaction/lines"), of_lines());
    let missing: Vec<&String> = known.difference(&lines).collect();
    assert!(missing.is_empty(), "deploy/otel-collector/config.yaml would take away {missing:?}");
    known.extend(OF_RESOURCES.map(str::to_owned));
    known.insert(OF_THE_RECEIVER.to_owned());
    let more: Vec<&String> = lines.difference(&known).collect();
    assert!(more.is_empty(), "lines never have {more:?}");
}

#[test]
fn no_key_that_could_name_a_person_passes() {
    for processor in ["redaction/spans", "redaction/lines"] {
        let allowed = allowed(processor);
        let telling = ["person", "phone", "token", "text", "title", "content", "authorization", "url.path"];
        let telling = || telling.iter().chain(TELLING);
        let found: Vec<_> = allowed.iter().filter(|key| telling().any(|word| key.contains(word))).collect();
        assert!(found.is_empty(), "{processor}: {found:?}");
    }
}
