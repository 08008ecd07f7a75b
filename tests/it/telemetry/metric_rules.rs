//! The forms that metrics have and the closed sets that labels come from, as the catalogue tells them.

use super::span_rules::is_route;
use crate::support::prelude::*;
use chassis_telemetry::catalogue::{Kind, Metric, Values};
use std::collections::{BTreeMap, BTreeSet};

fn known() -> impl Iterator<Item = &'static Metric> {
    epro_notify::metrics::catalogue().into_iter().flatten()
}

/// The names of all histograms.
pub fn histograms() -> Vec<&'static str> {
    known().filter(|metric| metric.kind == Kind::Histogram).map(|metric| metric.name).collect()
}

/// Panics unless forms, buckets and labels are as they have to be.
pub fn check(page: &Page) {
    for sample in &page.samples {
        assert!(sample.value.is_finite(), "{}", sample.series());
        for (label, value) in &sample.labels {
            assert!(may(&sample.name, label, value), "{label}={value:?} is not allowed: {}", sample.series());
        }
        // Dashboards count on all of them.
        if let Some(metric) = metric(&sample.name) {
            let has = |label: &&str| sample.label(label).is_some();
            assert!(metric.labels.iter().map(|(label, _)| label).all(has), "{}", sample.series());
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

/// The metric that a sample is of.
fn metric(name: &str) -> Option<&'static Metric> {
    let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
    known().find(|metric| metric.name == name || Some(metric.name) == family)
}

/// Whether a label's value is one of its set.
fn may(name: &str, label: &str, value: &str) -> bool {
    let values = metric(name).and_then(|metric| metric.labels.iter().find(|(found, _)| *found == label));
    match values {
        _ if label == "le" => true,
        Some((_, Values::Closed(values))) => values.contains(&value),
        Some((_, Values::Open(_))) => may_be_open(name, label, value),
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
        ("channel", _) => matches!(value, "sms" | "push"),
        ("feature", _) => matches!(value, "report_preview" | "bulk_notifications" | "report_reads"),
        ("signal", _) => value.bytes().all(word),
        ("listener", _) => matches!(value, "http" | "grpc" | "admin"),
        ("version" | "platform_version" | "commit" | "rustc", "build_info") => true,
        ("grpc_service" | "grpc_method" | "task" | "store", _) => value.bytes().all(word),
        _ => false,
    }
}

/// Of both services: types, and every value of a closed set from the start where the catalogue says so.
#[test]
fn what_running_services_show_is_what_the_catalogue_tells() {
    let (service, second) = (Site::new().start(), Site::ctms("static://127.0.0.1:1").start());
    let mut seen: BTreeMap<(&str, &str), BTreeSet<String>> = BTreeMap::new();
    for page in [service.metrics(), second.metrics()] {
        for sample in &page.samples {
            let Some(metric) = metric(&sample.name) else {
                let name = &sample.name;
                assert!(
                    name.starts_with("process_") || name.starts_with("tokio_") || name.starts_with("ctms_"),
                    "{name}"
                );
                continue;
            };
            for (label, value) in sample.labels.iter().filter(|(label, _)| label != "le") {
                let (label, _) = metric.labels.iter().find(|(found, _)| found == label).unwrap();
                seen.entry((metric.name, *label)).or_default().insert(value.clone());
            }
        }
    }
    for metric in known().filter(|metric| metric.from_zero) {
        for (label, values) in metric.labels {
            let Values::Closed(values) = values else { continue };
            let found = seen.get(&(metric.name, *label)).map_or(0, BTreeSet::len);
            assert_eq!(found, values.len(), "{} {label}", metric.name);
        }
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
