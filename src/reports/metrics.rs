//! The metrics of reports. Counters are there with 0 from the start, by their entry in [`METRICS`].

use super::receipt::Skipped;
use chassis_telemetry::catalogue::{Metric, Values, counter, histogram};

const OUTCOME: &str = "outcome";
const SOURCE: &str = "source";

const SUBMISSIONS: Metric = counter(
    "epro_report_submission_total",
    "Reports submitted: success once committed, failure where the handler or the store rejected one. Repeats with a known key count nothing.",
)
.labels(&[(OUTCOME, Values::Closed(&["success", "failure"])), (SOURCE, Values::Closed(&["http", "grpc"]))])
.from_zero();
const RECEIPTS: Metric = counter(
    "epro_report_receipts_total",
    "Receipts for new reports: queued with the report, or why there is none. Counts only where reports.receipt is set.",
)
.labels(&[(OUTCOME, Values::Closed(&["queued", "no_contact", "backlog_full", "shed", "store_unavailable"]))])
.from_zero();
const PREVIEW_DURATION: Metric = histogram(
    "report_preview_duration_seconds",
    "Time to draw a report as PDF, without waiting for a free place.",
);

/// All of them.
pub const METRICS: &[Metric] = &[SUBMISSIONS, RECEIPTS, PREVIEW_DURATION];

/// Which API a report came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Http,
    Grpc,
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }
}

/// Counts a submission.
pub fn submission(source: Source, succeeded: bool) {
    let outcome = if succeeded { "success" } else { "failure" };
    metrics::counter!(SUBMISSIONS.name, OUTCOME => outcome, SOURCE => source.as_str()).increment(1);
}

/// Counts the receipt of a new report.
pub fn receipt(outcome: Result<(), Skipped>) {
    let outcome = outcome.map_or_else(Skipped::as_str, |()| "queued");
    metrics::counter!(RECEIPTS.name, OUTCOME => outcome).increment(1);
}

/// Records how long a preview took.
#[cfg(feature = "pdf")]
pub fn preview(took: std::time::Duration) {
    metrics::histogram!(PREVIEW_DURATION.name).record(took.as_secs_f64());
}
