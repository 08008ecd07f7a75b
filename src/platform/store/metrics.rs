//! What is measured of commits, by operation, and of look-ups, with handles made once.

use super::{Operation, committer::MEASURED, pending::Pending};
use crate::platform::telemetry::names;
use metrics::{Counter, Histogram, counter, histogram};
use std::time::Duration;

/// Histograms of one operation.
struct Handles {
    operation: Operation,
    duration: Histogram,
    rows: Histogram,
}

/// Look-ups by where they were done.
pub(super) struct LookUpMetrics {
    pub(super) in_place: Counter,
    pub(super) on_thread: Counter,
}

impl LookUpMetrics {
    pub(super) fn new() -> Self {
        let counter = |outcome: &'static str| counter!(names::STORE_LOOKUPS, names::LABEL_OUTCOME => outcome);
        Self { in_place: counter("in_place"), on_thread: counter("on_thread") }
    }
}

pub(super) struct CommitMetrics(Vec<Handles>);

impl CommitMetrics {
    pub(super) fn new() -> Self {
        let handles = |operation: Operation| Handles {
            operation,
            duration: histogram!(names::QUEUE_COMMIT_DURATION, names::LABEL_OPERATION => operation.as_str()),
            rows: histogram!(names::QUEUE_COMMIT_ROWS, names::LABEL_OPERATION => operation.as_str()),
        };
        Self(MEASURED.map(handles).into())
    }

    /// One batch holds writes of several operations: each that it holds gets the batch's duration and its own rows.
    pub(super) fn record(&self, batch: &[Box<dyn Pending>], took: Duration) {
        for handles in &self.0 {
            let same = |write: &dyn Pending| write.operation().measured_as() == handles.operation;
            let rows: usize =
                batch.iter().filter(|write| same(write.as_ref())).map(|write| write.rows()).sum();
            if rows > 0 {
                handles.duration.record(took);
                handles.rows.record(rows as f64);
            }
        }
    }
}
