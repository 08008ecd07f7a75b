//! The services whose metrics dashboards and rules look at, and their words for people.

use chassis_telemetry::catalogue::Metric;

/// What a key must not contain, besides what tells of a person anywhere.
pub const TELLING: &[&str] = &["patient", "study"];

pub fn catalogues() -> Vec<&'static [Metric]> {
    let mut all = epro_notify::metrics::catalogue();
    all.push(epro_notify::ctms::METRICS);
    all
}
