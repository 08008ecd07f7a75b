//! Every metric of the service: help texts and buckets for the recorder, and what documents and dashboards are checked
//! against.

use crate::example;
use crate::jobs;
use chassis_telemetry::catalogue::{self, Metric};

/// The metrics of this crate and of the chassis. Those of `chassis_rpc` begin once the service calls another one.
pub fn catalogue() -> Vec<&'static [Metric]> {
    vec![
        jobs::METRICS,
        example::METRICS,
        catalogue::METRICS,
        chassis::METRICS,
        chassis_http::METRICS,
        chassis_queue::METRICS,
        chassis_resilience::METRICS,
        chassis_rpc::METRICS,
    ]
}
