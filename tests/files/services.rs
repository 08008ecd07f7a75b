//! The services whose metrics dashboards and rules look at.

use chassis_telemetry::catalogue::Metric;

pub fn catalogues() -> Vec<&'static [Metric]> {
    let mut all = epro_notify::metrics::catalogue();
    all.push(epro_notify::ctms::METRICS);
    all
}
