//! Alerts that every fork keeps.

mod callers;
mod process;
mod secrets;
mod store;
mod telemetry;

use crate::{rules::alert::Alert, site};

/// What fires and whom it calls, from symptom to cause.
pub fn all() -> Vec<Alert> {
    [process::all(), store::all(), callers::all(), secrets::all(), telemetry::all()]
        .into_iter()
        .flatten()
        .collect()
}

/// The matcher of our jobs, so that nobody else's process of the same exporter wakes our people.
fn ours() -> String {
    format!("job=~\"{}|{}\"", site::JOB, site::CTMS_JOB)
}
