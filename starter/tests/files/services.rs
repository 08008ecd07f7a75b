//! The services whose metrics dashboards and rules look at.

use chassis_telemetry::catalogue::Metric;

pub fn catalogues() -> Vec<&'static [Metric]> {
    starter_service::metrics::catalogue()
}
