//! The forms that metrics have and the closed sets that labels come from, as `docs/reference.md` tells them.

use super::span_rules::is_route;
use crate::{
    docs::{Metric, metrics},
    support::prelude::*,
};
use std::{collections::BTreeMap, sync::OnceLock};

fn known() -> &'static BTreeMap<String, Metric> {
    static KNOWN: OnceLock<BTreeMap<String, Metric>> = OnceLock::new();
    KNOWN.get_or_init(metrics)
}

/// The names of all histograms.
pub fn histograms() -> Vec<String> {
    known().iter().filter(|(_, metric)| metric.kind == "histogram").map(|(name, _)| name.clone()).collect()
}

/// Panics unless forms, buckets and labels are as they have to be.
pub fn check(page: &Page) {
    for sample in &page.samples {
        assert!(sample.value.is_finite(), "{}", sample.series());
        for (label, value) in &sample.labels {
            assert!(may(&sample.name, label, value), "{label}={value:?} is not allowed: {}", sample.series());
        }
    }
    for (name, kind) in &page.types {
        assert!(matches!(&**kind, "counter" | "gauge" | "histogram"), "{name} is a {kind}");
        // Names of the usual collectors are theirs.
        let theirs = name.starts_with("tokio_");
        assert!(theirs || (kind == "counter") == name.ends_with("_total"), "{name} is a {kind}");
        assert!(page.text.contains(&format!("# HELP {name} ")), "{name} is not described");
    }
    let histograms = page.types.iter().filter(|(_, kind)| *kind == "histogram");
    histograms.for_each(|(name, _)| page.check_buckets(name));
}

/// Whether a label's value is one of its set.
fn may(name: &str, label: &str, value: &str) -> bool {
    let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
    let metric = known().get(name).or_else(|| known().get(family?));
    match metric.and_then(|metric| metric.labels.get(label)) {
        _ if label == "le" => true,
        Some(values) if values.is_empty() => may_be_open(name, label, value),
        Some(values) => values.contains(value),
        None => false,
    }
}

/// Whether a value fits a label whose values are not listed.
fn may_be_open(name: &str, label: &str, value: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match (label, name) {
        ("route", _) => is_route(value),
        ("status", _) => {
            value.len() == 3 && value.parse::<u16>().is_ok_and(|code| (200..600).contains(&code))
        }
        ("key", _) => value == "none",
        ("target", _) => matches!(value, "sms" | "push"),
        ("provider", _) => matches!(value, "console" | "http"),
        ("version" | "platform_version" | "commit" | "rustc", "build_info") => true,
        ("grpc_service" | "grpc_method" | "task" | "store", _) => value.bytes().all(word),
        _ => false,
    }
}

#[test]
fn a_value_that_is_not_of_its_set_is_told_from_one_that_is() {
    let finished = |label, value| may("notification_finished_total", label, value);
    assert!(finished("outcome", "dead") && !finished("outcome", "retry") && !finished("reason", "dead"));
    let request = |label, value| may("http_request_duration_seconds_bucket", label, value);
    assert!(request("status", "200") && request("le", "0.1") && request("method", "GET"));
    assert!(
        !request("status", "600") && !request("route", "/api/v1/patients/7") && !request("method", "BREW")
    );
    assert!(!may("no_such_total", "outcome", "dead"));
}
