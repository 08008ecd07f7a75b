//! A real Jaeger on the shipped configuration, behind the real collector.

use super::{
    backends::Lines,
    collector::{SERVER, Site, UNSET, span},
};
use crate::program::{Program, free_address, shipped};
use chassis_test::until_so;
use std::time::Duration;

#[test]
fn jaeger_answers_for_a_trace_that_came_through_the_collector() {
    let folder = tempfile::tempdir().unwrap();
    let [otlp, query, grpc, health, metrics] = std::array::from_fn(|_| free_address());
    let mut jaeger = Program::start("jaeger", folder.path(), |command| {
        command
            .env("JAEGER_OTLP_LISTEN", otlp.to_string())
            .env("JAEGER_QUERY_LISTEN", query.to_string())
            .env("JAEGER_QUERY_GRPC_LISTEN", grpc.to_string())
            .env("JAEGER_HEALTH_LISTEN", health.to_string())
            .env("JAEGER_METRICS_HOST", metrics.ip().to_string())
            .env("JAEGER_METRICS_PORT", metrics.port().to_string())
            .arg("--config")
            .arg(shipped("deploy/jaeger/config.yaml"));
    });
    let ask = |address, path: &str| chassis_test::ask(address, "GET", path, "").ok();
    jaeger.until_so("is well", || ask(health, "/status").is_some_and(|answer| answer.status == 200));

    let lines = Lines::start();
    let collector = Site::new(otlp, lines.address).start();
    collector.send(&[span(0xabc, Duration::from_millis(3), SERVER, UNSET)]);
    let path = format!("/api/traces/{:032x}", 0xabc);
    let trace = || ask(query, &path).filter(|answer| answer.status == 200);
    until_so("the trace can be asked for", || trace().is_some());
    let trace = trace().unwrap().json();
    let found = &trace["data"][0];
    assert_eq!(found["spans"][0]["operationName"], "GET /api/v1/patients/{patientId}", "{trace}");
    assert_eq!(found["processes"]["p1"]["serviceName"], "epro-notify", "{trace}");
    assert_eq!(ask(metrics, "/metrics").map(|answer| answer.status), Some(200), "it can be scraped");
}
