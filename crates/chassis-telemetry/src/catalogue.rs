//! The metrics of this crate, and how others describe theirs.

pub use chassis_metrics::catalogue::{
    Kind, Label, Metric, REQUEST_BUCKETS, Unit, Values, counter, gauge, histogram,
};

use crate::names;

/// HTTP, gRPC, telemetry itself.
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
