//! How a crate or service describes its metrics: kind, unit, labels, buckets and help text, all constants.
//!
//! The recorder takes help texts and buckets from here; documents and dashboards are checked against it.

pub use metrics::Unit;

use crate::names;

/// What Prometheus calls the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The values that a label may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// These and no others.
    Closed(&'static [&'static str]),
    /// As many as are configured or built, and what they are.
    Open(&'static str),
}

/// A label's name and its values.
pub type Label = (&'static str, Values);

/// One metric, by its name in Prometheus' text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    pub labels: &'static [Label],
    /// Upper edges of a histogram's buckets, rising, without `+Inf`.
    pub buckets: &'static [f64],
    /// Sentences.
    pub help: &'static str,
    /// Every replica of one store reports the same value: take the maximum, never the sum.
    pub store_wide: bool,
    /// Every combination of the label values, all closed, is there from the start with 0.
    pub from_zero: bool,
}

/// A counter; its name ends in `_total`.
pub const fn counter(name: &'static str, help: &'static str) -> Metric {
    let (kind, unit) = (Kind::Counter, Unit::Count);
    Metric { name, kind, unit, labels: &[], buckets: &[], help, store_wide: false, from_zero: false }
}

/// A gauge without a unit: see [`Metric::bytes`] and [`Metric::seconds`].
pub const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { kind: Kind::Gauge, ..counter(name, help) }
}

/// A histogram of seconds in [`REQUEST_BUCKETS`].
pub const fn histogram(name: &'static str, help: &'static str) -> Metric {
    let (kind, unit) = (Kind::Histogram, Unit::Seconds);
    Metric { kind, unit, buckets: REQUEST_BUCKETS, ..counter(name, help) }
}

/// Constant functions that set one field each.
macro_rules! setters {
    ($($name:ident($($argument:ident: $type:ty)?) { $field:ident = $value:expr })*) => {$(
        #[must_use]
        pub const fn $name(mut self, $($argument: $type)?) -> Self {
            self.$field = $value;
            self
        }
    )*};
}

impl Metric {
    setters! {
        labels(labels: &'static [Label]) { labels = labels }
        buckets(buckets: &'static [f64]) { buckets = buckets }
        count() { unit = Unit::Count }
        bytes() { unit = Unit::Bytes }
        seconds() { unit = Unit::Seconds }
        store_wide() { store_wide = true }
        from_zero() { from_zero = true }
    }
}

/// Seconds of a request: finer below 0.1 s, where an accept belongs, with an edge on each usual threshold.
pub const REQUEST_BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    30.0,
];

/// The metrics of this crate: HTTP, gRPC, telemetry itself.
#[rustfmt::skip]
pub const METRICS: &[Metric] = &[
    histogram("http_request_duration_seconds", "Latency of HTTP requests, until the head of the response.").labels(&[
        ("method", Values::Closed(&["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "OTHER"])),
        ("route", Values::Open("the whole template, or unmatched")),
        ("status", Values::Open("")),
    ]),
    gauge("http_requests_in_flight", "HTTP requests being handled."),
    histogram("grpc_request_duration_seconds", "Latency of gRPC calls, until their status is known (in the trailers).").labels(&[
        ("grpc_service", Values::Open("its full name, or unmatched, as the method of what is not served")),
        (names::LABEL_GRPC_METHOD, Values::Open("")),
        ("grpc_code", Values::Closed(&names::GRPC_CODES)),
        ("side", Values::Closed(&["server", "client"])),
    ]),
    counter("telemetry_spans_ended_total", "Recorded spans that ended.").from_zero(),
    counter("telemetry_spans_total", "Ended spans by outcome; with the queued ones, all that ended.")
        .labels(&[("outcome", Values::Closed(&["exported", "failed", "dropped"]))]).from_zero(),
    gauge("telemetry_spans_queued", "Ended spans on their way to the collector; ended = exported + failed + dropped + queued."),
    counter("telemetry_log_lines_total", "Log lines written to stdout, and log lines dropped because stdout did not take them.")
        .labels(&[("outcome", Values::Closed(&["written", "dropped"]))]).from_zero(),
    counter("telemetry_late_parents_total", "Spans that had started before their parent was set, and so lost their trace: always 0, else a defect.")
        .from_zero(),
    gauge("build_info", "1, labelled with what was built.").labels(&[
        ("version", Values::Open("")), ("platform_version", Values::Open("that of the chassis")),
        ("commit", Values::Open("")), ("rustc", Values::Open("")),
    ]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_kind_and_unit_and_exactly_the_histograms_have_buckets() {
        for metric in METRICS {
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert_eq!(metric.name.ends_with("_seconds"), metric.unit == Unit::Seconds, "{}", metric.name);
            assert_eq!(metric.buckets.is_empty(), metric.kind != Kind::Histogram, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
