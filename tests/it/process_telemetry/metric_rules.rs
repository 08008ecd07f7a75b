//! The forms that metrics have and the closed sets that labels come from.

use super::span_rules::is_route;
use epro_notify::platform::telemetry::{
    catalogue::{self, Values},
    names,
};
use std::collections::{BTreeMap, HashSet};

/// A name, labels in alphabetical order, and the value.
pub type Sample = (String, Vec<(String, String)>, f64);

/// A page of metrics in Prometheus' text format.
pub struct Page {
    pub text: String,
    pub types: BTreeMap<String, String>,
    pub samples: Vec<Sample>,
}

impl Page {
    pub fn read(text: &str) -> Self {
        let kind = |line: &str| {
            let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
            Some((name.to_owned(), kind.to_owned()))
        };
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self {
            text: text.to_owned(),
            types: text.lines().filter_map(kind).collect(),
            samples: lines.map(sample).collect(),
        }
    }

    /// The value of a series, written with its labels in alphabetical order.
    pub fn value(&self, series: &str) -> Option<f64> {
        let found = self.samples.iter().find(|(name, labels, _)| shown(name, labels) == series);
        found.map(|(.., value)| *value)
    }

    /// The sum of all series of this name that have these labels.
    pub fn sum(&self, name: &str, wanted: &[(&str, &str)]) -> f64 {
        let has = |labels: &[(String, String)], (label, value): &(&str, &str)| {
            labels.iter().any(|(found, of)| found == label && of == value)
        };
        let of_it = self
            .samples
            .iter()
            .filter(|(found, labels, _)| found == name && wanted.iter().all(|pair| has(labels, pair)));
        of_it.map(|(.., value)| value).sum()
    }

    /// Fails unless forms, buckets and labels are as they have to be, and no series is there twice.
    pub fn check(&self) {
        let mut seen = HashSet::new();
        for (name, labels, value) in &self.samples {
            let series = shown(name, labels);
            assert!(seen.insert(series.clone()), "{series} is there twice");
            assert!(value.is_finite(), "{series} is {value}");
            for (label, value) in labels {
                assert!(may(name, label, value), "{label}={value:?} is not allowed: {series}");
            }
        }
        for (name, kind) in &self.types {
            assert!(matches!(&**kind, "counter" | "gauge" | "histogram"), "{name} is a {kind}");
            // Names of the usual collectors are theirs.
            let theirs = name.starts_with("tokio_");
            assert!(theirs || (kind == "counter") == name.ends_with("_total"), "{name} is a {kind}");
            assert!(self.text.contains(&format!("# HELP {name} ")), "{name} is not described");
        }
        let histograms = self.types.iter().filter(|(_, kind)| *kind == "histogram");
        histograms.for_each(|(name, _)| self.check_buckets(name));
    }

    /// Each series has all buckets of its histogram, rising, and `+Inf` last with the count.
    fn check_buckets(&self, name: &str) {
        let (_, edges) = names::HISTOGRAMS.iter().find(|(found, _)| found == &name).unwrap();
        let mut series = BTreeMap::<Vec<(String, String)>, Vec<(f64, f64)>>::new();
        for (_, labels, value) in self.samples.iter().filter(|(found, ..)| *found == format!("{name}_bucket"))
        {
            let (edge, rest): (Vec<_>, Vec<_>) = labels.iter().cloned().partition(|(label, _)| label == "le");
            series.entry(rest).or_default().push((edge[0].1.parse().unwrap(), *value));
        }
        assert!(!series.is_empty(), "{name} has no series");
        for (labels, buckets) in series {
            let found: Vec<f64> = buckets.iter().map(|(edge, _)| *edge).collect();
            let expected: Vec<f64> = edges.iter().copied().chain([f64::INFINITY]).collect();
            assert_eq!(found, expected, "{name}{labels:?}");
            assert!(
                buckets.is_sorted_by(|before, after| before.1 <= after.1),
                "{name}{labels:?} {buckets:?}"
            );
            let count = self.value(&shown(&format!("{name}_count"), &labels));
            assert_eq!(buckets.last().map(|(_, count)| *count), count, "{name}{labels:?}");
        }
    }
}

fn shown(name: &str, labels: &[(String, String)]) -> String {
    let pairs: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    if pairs.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", pairs.join(",")) }
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
    let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
    let Some((name, labels)) = series.strip_suffix('}').and_then(|series| series.split_once('{')) else {
        return (series.to_owned(), Vec::new(), value);
    };
    let pair = |pair: &str| {
        let (label, value) = pair.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
        (label.to_owned(), value.to_owned())
    };
    // Templates of routes hold braces, and no value of ours a quote.
    let mut labels: Vec<_> = labels.trim_end_matches('"').split("\",").map(pair).collect();
    labels.sort();
    (name.to_owned(), labels, value)
}

/// Whether a label's value is one of its set.
fn may(name: &str, label: &str, value: &str) -> bool {
    let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    let metric = catalogue::all().find(|metric| metric.name == family);
    let values = metric.and_then(|metric| metric.labels.iter().find(|(found, _)| *found == label));
    match values {
        _ if label == "le" => true,
        Some((_, Values::Closed(values))) => values.contains(&value),
        Some(_) => may_be_open(name, label, value),
        None => false,
    }
}

/// Whether a value fits a label whose values are not listed.
fn may_be_open(name: &str, label: &str, value: &str) -> bool {
    let one_of = |values: &[&str]| values.contains(&value);
    match (label, name) {
        ("route", _) => is_route(value),
        ("status", _) => {
            value.len() == 3 && value.parse::<u16>().is_ok_and(|code| (200..600).contains(&code))
        }
        ("grpc_service" | "grpc_method", _) => {
            value.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_'))
        }
        ("provider", _) => one_of(&["console", "http"]),
        ("key", _) => one_of(&["none"]),
        ("task", _) => TASKS.contains(&value),
        ("target", _) => one_of(&["sms", "push"]),
        ("version" | "platform_version" | "commit" | "rustc", "build_info") => true,
        _ => false,
    }
}

const TASKS: &[&str] =
    &["signals", "keys", "rate-limit", "store", "dispatcher", "degradation", "http", "grpc", "tls"];

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
