//! The services whose metrics dashboards and rules look at, and their words for people.

use chassis_telemetry::catalogue::Metric;

/// What a key must not contain, besides what tells of a person anywhere: add your own words.
pub const TELLING: &[&str] = &[];

pub fn catalogues() -> Vec<&'static [Metric]> {
    starter_service::metrics::catalogue()
}
