//! Every metric of the service: help texts and buckets for the recorder, and what documents and dashboards are checked
//! against.

use crate::{notifications, reports};
use chassis_telemetry::catalogue::{self, Metric};

/// The metrics of this crate and of the chassis.
pub fn catalogue() -> Vec<&'static [Metric]> {
    vec![
        notifications::METRICS,
        reports::METRICS,
        catalogue::METRICS,
        chassis::METRICS,
        chassis_http::METRICS,
        chassis_queue::METRICS,
        chassis_resilience::METRICS,
        chassis_rpc::METRICS,
    ]
}
