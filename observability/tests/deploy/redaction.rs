//! The collector's allow-list is what the services say: neither less, which would blind an operator, nor more.

use crate::{fields::Fields, repository, text, texts, yaml};
use observability::names;
use std::collections::BTreeSet;

/// What SDKs and the collector add to a resource or a record, and what fields of spans are no attributes.
const OF_RESOURCES: [&str; 4] =
    ["deployment.environment.name", "telemetry.sdk.language", "telemetry.sdk.name", "telemetry.sdk.version"];
const OF_THE_RECEIVER: &str = "log.iostream";
const OF_THE_SPANS_THEMSELVES: [&str; 3] = [names::OTEL_KIND, names::OTEL_NAME, names::OTEL_STATUS_CODE];

fn allowed(processor: &str) -> BTreeSet<String> {
    let config = yaml("deploy/otel-collector/config.yaml");
    let list = texts(&config["processors"][processor]["allowed_keys"]);
    let set: BTreeSet<String> = list.iter().cloned().collect();
    assert_eq!(set.len(), list.len(), "{processor} lists a key twice");
    set
}

/// The values of the constants of `names.rs` under a comment that begins so.
fn named(heading: &str) -> BTreeSet<String> {
    let file = text("src/platform/telemetry/names.rs");
    let section = file.split(heading).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    let section = section.split("\n\n").next().unwrap_or_default();
    let values = section.lines().filter_map(|line| line.strip_prefix("pub const ")?.split('"').nth(1));
    values.map(str::to_owned).collect()
}

#[test]
fn every_attribute_that_a_span_can_have_passes() {
    let allowed = allowed("redaction/spans");
    let mut said = Fields::under(&repository("src")).of_spans;
    said.extend(named("// Span attributes of OpenTelemetry's semantic conventions."));
    OF_THE_SPANS_THEMSELVES.iter().for_each(|name| {
        said.remove(*name);
    });
    let missing: Vec<&String> = said.difference(&allowed).collect();
    assert!(missing.is_empty(), "deploy/otel-collector/config.yaml would take away {missing:?}");
}

#[test]
fn every_field_that_a_line_can_have_passes() {
    let allowed = allowed("redaction/lines");
    let mut said = Fields::under(&repository("src")).of_lines;
    said.extend(names::LINE_KEYS.map(str::to_owned));
    let missing: Vec<&String> = said.difference(&allowed).collect();
    assert!(missing.is_empty(), "deploy/otel-collector/config.yaml would take away {missing:?}");
}

#[test]
fn nothing_passes_that_the_services_never_say() {
    let fields = Fields::under(&repository("src"));
    let mut known: BTreeSet<String> = OF_RESOURCES.map(str::to_owned).into();
    known.extend(named("// Span attributes of OpenTelemetry's semantic conventions."));
    known.extend(named("// Span attributes and log fields of our own."));
    // Of the events that decisions add to spans.
    known.extend(["feature", "level", "target", "to"].map(str::to_owned));
    known.extend(fields.of_spans.iter().cloned());
    let spans = allowed("redaction/spans");
    let more: Vec<&String> = spans.difference(&known).collect();
    assert!(more.is_empty(), "spans never have {more:?}");

    known.extend(fields.of_lines);
    known.extend(names::LINE_KEYS.map(str::to_owned));
    known.insert(OF_THE_RECEIVER.to_owned());
    let lines = allowed("redaction/lines");
    let more: Vec<&String> = lines.difference(&known).collect();
    assert!(more.is_empty(), "lines never have {more:?}");
}

#[test]
fn no_key_that_could_name_a_patient_passes() {
    for processor in ["redaction/spans", "redaction/lines"] {
        let allowed = allowed(processor);
        let telling =
            ["patient", "study", "phone", "token", "text", "title", "content", "authorization", "url.path"];
        let found: Vec<_> =
            allowed.iter().filter(|key| telling.iter().any(|word| key.contains(word))).collect();
        assert!(found.is_empty(), "{processor}: {found:?}");
    }
}
