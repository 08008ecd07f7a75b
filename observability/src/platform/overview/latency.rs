//! How long callers wait, against what was promised.

use super::answers::{ROUTE_SPAN, SERIES_JOB};
use crate::{
    links::Traces,
    names,
    panel::{Kind, Panel},
    platform::GRPC_CALLS,
    query::quantile,
    services::{SERVICE, SERVICES},
};

/// What takes work to be done later, for which the objective of 100 ms is.
const ACCEPTS: &str = r#"method="POST",route=~".+/async",status="202""#;
/// Seconds in which 99 % of accepts are to be answered.
const ACCEPT_OBJECTIVE: f64 = 0.1;

pub fn panels() -> Vec<Panel> {
    vec![accept_latency(), latency_by_route(), latency_by_method()]
}

fn accept_latency() -> Panel {
    let at = |q| quantile(q, "", names::HTTP_REQUEST_DURATION, ACCEPTS);
    Panel::new(
        Kind::TimeSeries,
        "Accept latency",
        "s",
        "How long accepted notifications took to be committed and answered. Normal: P99 far below the objective (dashed, 100 ms). \
         All rise: the store's commits; P99 alone: stalls of the disk. Dots are traces.",
    )
    .query(at(0.5), "P50")
    .query(at(0.95), "P95")
    .latency(at(0.99), "P99")
    .bad_from(ACCEPT_OBJECTIVE)
    .axis_to(ACCEPT_OBJECTIVE * 1.1)
    .size(6, 10)
    .no_value("No accept")
    .traces("Traces over 100 ms", Traces::of(SERVICE).at_least("100ms"))
    .logs("Lines of slow accepts", &[SERVICE], r#"| json | message="request" | fields_route=~".+/async" | fields_duration_ms > 100"#)
    .dashboard("Store and commits", "runtime-telemetry")
}

fn latency_by_route() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "HTTP latency by route, P99",
        "s",
        "The time that 99 % of each route's requests stay below. A synchronous send waits for its gateway, so it may take \
         seconds; any other above 100 ms is worth a look at its traces (dots).",
    )
    .latency(quantile(0.99, "job, method, route", names::HTTP_REQUEST_DURATION, ""), "{{method}} {{route}}")
    .legend_table()
    .size(12, 10)
    .no_value("No request")
    .traces("Traces of this route over 100 ms", Traces::of(SERIES_JOB).operation(ROUTE_SPAN).at_least("100ms"))
    .traces_of_each("Traces over 100 ms", |traces| traces.at_least("100ms"))
    .logs("Lines of slow requests", SERVICES, r#"| json | message="request" | fields_duration_ms > 100"#)
}

fn latency_by_method() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "gRPC latency by method, P99",
        "s",
        "The time that 99 % of each method's calls stay below, as this side measures it. What callers see, with network and \
         retries, is in ePRO and RPC.",
    )
    .latency(quantile(0.99, "grpc_method", names::GRPC_REQUEST_DURATION, GRPC_CALLS), "{{grpc_method}}")
    .size(6, 10)
    .no_value("No gRPC call")
    .traces("Traces over 100 ms", Traces::of(SERVICE).tag("rpc.system.name", "grpc").at_least("100ms"))
    .logs("Lines of slow calls", &[SERVICE], r#"| json | message="call" | fields_duration_ms > 100"#)
    .dashboard("ePRO and RPC", "epro-rpc")
}

pub(super) fn slowest() -> Panel {
    Panel::new(
        Kind::Stat,
        "Accept, P99",
        "s",
        "The time that 99 % of accepts stay below. Normal: a few milliseconds; the objective is 100 ms. Slow: see Store \
         commits in Runtime and telemetry.",
    )
    .latency(quantile(0.99, "", names::HTTP_REQUEST_DURATION, ACCEPTS), "P99")
    .warn_from(ACCEPT_OBJECTIVE / 2.0)
    .bad_from(ACCEPT_OBJECTIVE)
    .no_value("No accept")
    .traces("Accepts over 100 ms", Traces::of(SERVICE).at_least("100ms"))
    .dashboard("Store and commits", "runtime-telemetry")
}
