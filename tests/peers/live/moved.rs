//! Whether the scene was worth asking about: every metric of ours is there, and everything that can move did.

use super::{checks::Checker, prometheus::Labels};
use std::collections::BTreeSet;

/// What the scene does not move, and why: each is the beginning of `name{label="value",…}`. They are there, with 0
/// or what does not change.
const STILL: &[&str] = &[
    // It says what was built or set.
    "build_info",
    "workers{",
    // It never happens.
    "task_panics_total",
    "telemetry_late_parents_total",
    // A key is known, or it is not.
    r#"auth_requests_total{key="none",outcome="forbidden"#,
    r#"auth_requests_total{key="app",outcome="unknown_key"#,
    r#"auth_requests_total{key="ctms",outcome="unknown_key"#,
    r#"auth_requests_total{key="everyday",outcome="unknown_key"#,
    r#"auth_requests_total{key="greedy",outcome="unknown_key"#,
    r#"auth_requests_total{key="reader",outcome="unknown_key"#,
    // Only the reader asks for what it may not.
    r#"auth_requests_total{key="app",outcome="forbidden"#,
    r#"auth_requests_total{key="ctms",outcome="forbidden"#,
    r#"auth_requests_total{key="everyday",outcome="forbidden"#,
    r#"auth_requests_total{key="greedy",outcome="forbidden"#,
    // All connections of the HTTP API's listener are taken, and of no other.
    r#"http_connections_limit_reached_total{listener="admin"#,
    r#"http_connections_limit_reached_total{listener="grpc"#,
    // Only gRPC has TLS here.
    r#"tls_certificate_reloads_total{listener="admin"#,
    r#"tls_certificate_reloads_total{listener="http"#,
    r#"tls_handshakes_failed_total{listener="admin"#,
    r#"tls_handshakes_failed_total{listener="http"#,
    // It is full before it is first looked at.
    "ctms_cache_entries",
    // The registry stays.
    "grpc_registration_up",
    // A fixed list is never looked up in vain.
    r#"rpc_client_lookups_total{outcome="failed"#,
    // Three patients are told at once.
    "queue_batch_jobs_pending",
    // A report whose store is away is not kept either.
    r#"epro_report_receipts_total{outcome="store_unav"#,
    // It takes a burst of minutes.
    r#"telemetry_log_lines_total{outcome="dropped"#,
    r#"telemetry_spans_total{outcome="dropped"#,
    // Which of the reasons a call fails for, while an instance goes away, is a matter of milliseconds.
    "ctms_report_answers_total",
    "rpc_client_refused_total",
    "rpc_client_retries_total",
    "rpc_client_retries_withheld_total",
];

/// The names of all metrics of both services.
fn names() -> BTreeSet<&'static str> {
    let catalogues = epro_notify::metrics::catalogue().into_iter().chain([epro_notify::ctms::METRICS]);
    catalogues.flatten().map(|metric| metric.name).collect()
}

/// The metric that a series belongs to: histograms have three kinds of them.
fn family(name: &str) -> &str {
    let ends = ["_bucket", "_sum", "_count"];
    ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// What is missing, and what stood still though it can move.
pub fn faults(checker: &Checker<'_>, series: &[Labels]) -> Vec<String> {
    let found: BTreeSet<&str> = series.iter().map(|labels| family(&labels["__name__"])).collect();
    let all = names();
    let missing = all.iter().filter(|name| !found.contains(**name));
    let missing = missing.map(|name| format!("{name} was not scraped: no scene exports it"));
    missing
        .chain(all.iter().filter(|name| found.contains(**name)).flat_map(|name| still(checker, name)))
        .collect()
}

/// Series of this metric that always had the same value, on all services.
fn still(checker: &Checker<'_>, name: &str) -> Vec<String> {
    let seconds = checker.window.to - checker.window.from;
    let over = |function: &str| format!("{function}_over_time({name}[{seconds}s])");
    let counter = name.ends_with("_total");
    let moved = match counter {
        true => format!("max without (job, instance) ({})", over("max")),
        false => format!("max without (job, instance) ({} - {})", over("max"), over("min")),
    };
    let answer = checker.prometheus.instant(&moved, checker.window.to).unwrap();
    let still: Vec<String> =
        answer.iter().filter(|one| one.values == ["0"]).map(|one| shown(name, &one.labels)).collect();
    // One series of a gauge that moves is enough: not every state is met in two minutes.
    if !counter && still.len() < answer.len() {
        return Vec::new();
    }
    let expected = |series: &String| STILL.iter().any(|begin| series.starts_with(begin));
    still
        .into_iter()
        .filter(|series| !expected(series))
        .map(|series| format!("{series} did not move"))
        .collect()
}

fn shown(name: &str, labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
    format!("{name}{{{}}}", pairs.join(","))
}
