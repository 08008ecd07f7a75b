//! What callers notice: answers, failures and refusals. How long they wait is in `latency.rs`.

use super::latency;
use crate::{
    links::Traces,
    palette::Colour,
    panel::{Kind, Panel},
    platform::{GRPC_FAILURES, GRPC_REFUSALS, both, collectors, grpc, http},
    query::{or_none, series, share_or_zero, sum_by},
    services::{SERVICE, SERVICES},
};

const FAILED: &str = r#"status=~"5..""#;
const REFUSED: &str = r#"status=~"401|403|429""#;
/// The span of a series' own route.
pub(super) const ROUTE_SPAN: &str = "${__field.labels.method} ${__field.labels.route}";
pub(super) const SERIES_JOB: &str = "${__field.labels.job}";

pub fn at_a_glance() -> Vec<Panel> {
    vec![served(), requests(), failures(), latency::slowest(), down(), firing()]
}

/// A stat with the links that every symptom has.
fn stat(title: &str, unit: &'static str, description: &str) -> Panel {
    Panel::new(Kind::Stat, title, unit, description).traces_of_each("Failed traces", Traces::failed).logs(
        "Lines of failures",
        SERVICES,
        r#"| json | level="ERROR" or fields_status >= 500"#,
    )
}

fn served() -> Panel {
    let all = sum_by("", &both("", ""));
    let failed = sum_by("", &both(FAILED, GRPC_FAILURES));
    stat(
        "Served",
        "percentunit",
        "The share of HTTP requests and gRPC calls that did not fail through our fault (5xx; UNAVAILABLE, INTERNAL and alike). \
         Refusals by the rate limit are not failures. Normal: 99.9 % and more; else see Failures by route.",
    )
    .query(format!("1 - {}", share_or_zero(&failed, &all)), "served")
    .bad_below(0.99)
    .warn_below(0.999)
    .range(Some(0.0), Some(1.0))
    .decimals(2)
}

fn requests() -> Panel {
    stat(
        "Requests",
        "reqps",
        "HTTP requests and gRPC calls a second, health checks aside. A sudden fall to 0 is as bad as failures: look at \
         Instances down, and at whatever stands in front.",
    )
    .query(sum_by("", &both("", "")), "requests")
    .decimals(1)
}

fn failures() -> Panel {
    let all = sum_by("", &both("", ""));
    stat(
        "Failures",
        "reqps",
        "Answers a second that are our fault: 5xx over HTTP, UNAVAILABLE, INTERNAL and alike over gRPC. Normal: 0. \
         A 502 or 504 of a synchronous send is the gateway's: see Notifications.",
    )
    .query(format!("{} or 0 * {all}", sum_by("", &both(FAILED, GRPC_FAILURES))), "failures")
    .warn_from(0.001)
    .bad_from(1.0)
    .decimals(2)
    .dashboard("Notifications", "notifications")
}

fn down() -> Panel {
    let up = series(collectors::UP, "");
    Panel::new(
        Kind::Stat,
        "Instances down",
        "none",
        "Instances that Prometheus could not scrape, of the jobs chosen above. Normal: 0. Is the process gone (its last \
         lines tell), or only its admin listener away?",
    )
    .query(format!("count({up}) - sum({up})"), "down")
    .bad_from(1.0)
    .no_value("Nothing is scraped")
    .logs("Last lines of stops and panics", SERVICES, r#"| json | message=~"stopped|shutdown begins.*|panicked|ready""#)
    .dashboard("Runtime and telemetry", "runtime-telemetry")
}

fn firing() -> Panel {
    Panel::new(
        Kind::Stat,
        "Alerts firing",
        "none",
        "How many alerts fire now. Normal: 0. Which ones: see Alerts that fire; each has a runbook.",
    )
    .query(
        format!(r#"count(ALERTS{{alertstate="firing"}}) or 0 * count({})"#, series(collectors::UP, "")),
        "firing",
    )
    .no_value("Nothing is scraped")
    .bad_from(1.0)
    .logs("Lines that warn", SERVICES, r#"| json | level=~"WARN|ERROR""#)
}

pub fn traffic() -> Vec<Panel> {
    vec![by_status(), by_code(), failed_calls(), refused(), by_route(), failed_routes()]
}

fn by_status() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "HTTP answers by status",
        "reqps",
        "HTTP requests a second by the status of their answer. Normal: green with some yellow (404, 422: the callers' own). Red \
         is our fault, orange the rate limit.",
    )
    .query(sum_by("status", &http("")), "{{status}}")
    .stacked()
    .size(6, 8)
    .traces_of_each("Failed traces", Traces::failed)
    .logs("Lines of this status", SERVICES, r#"| json | message="request" | fields_status="${__field.labels.status}""#)
    .logs("Lines of requests", SERVICES, r#"| json | message="request""#)
}

fn by_code() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "gRPC answers by code",
        "reqps",
        "gRPC calls a second that this side answered, by code, without health checks. Normal: OK and NOT_FOUND. Red is our \
         fault; the caller's side of the same calls is in ePRO and RPC.",
    )
    .query(sum_by("grpc_code", &grpc("")), "{{grpc_code}}")
    .stacked()
    .size(6, 8)
    .no_value("No gRPC call")
    .traces("Failed traces", Traces::of(SERVICE).failed())
    .logs("Lines of this code", &[SERVICE], r#"| json | message="call" | fields_grpc_code="${__field.labels.grpc_code}""#)
    .dashboard("ePRO and RPC", "epro-rpc")
}

fn by_route() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "HTTP requests by route",
        "reqps",
        "Who is busy: HTTP requests a second by method and route. One that grows alone is a caller's loop: its key is in \
         Limits and resilience.",
    )
    .query(sum_by("job, method, route", &http("")), "{{method}} {{route}}")
    .legend_table()
    .size(12, 10)
    .traces("Traces of this route", Traces::of(SERIES_JOB).operation(ROUTE_SPAN))
    .logs("Lines of this route", SERVICES, r#"| json | message="request" | fields_route="${__field.labels.route}""#)
    .traces_of_each("Traces", |traces| traces)
    .dashboard("Limits and resilience", "limits-resilience")
}

fn failed_routes() -> Panel {
    let total = sum_by("", &http(""));
    let failed = sum_by("job, method, route, status", &http(FAILED));
    Panel::new(
        Kind::TimeSeries,
        "Failures by route",
        "reqps",
        "HTTP answers of 5xx a second. Normal: one line at 0. 503: shed, backlog full or no store (problem type in the \
         line); 502 and 504: the gateway of a synchronous send; 500: a defect, its trace has the panic.",
    )
    .query(or_none(&failed, "status", "5xx", &total), "{{status}} {{method}} {{route}}")
    .colour("/^5xx/", Colour::Unconcerned)
    .colour("/^50[013]/", Colour::Failed)
    .colour("/^50[24]/", Colour::Shade("light-red"))
    .legend_table()
    .axis_to(0.1)
    .size(12, 10)
    .traces("Failed traces of this route", Traces::of(SERIES_JOB).operation(ROUTE_SPAN).failed())
    .traces_of_each("Failed traces", Traces::failed)
    .logs("Lines of failed requests", SERVICES, "| json | fields_status >= 500")
}

fn failed_calls() -> Panel {
    let total = sum_by("", &grpc(""));
    let failed = sum_by("job, grpc_method, grpc_code", &grpc(GRPC_FAILURES));
    Panel::new(
        Kind::TimeSeries,
        "Failed gRPC calls",
        "reqps",
        "gRPC calls a second that this side failed. Normal: one line at 0. UNAVAILABLE: shed, or no store; DEADLINE_EXCEEDED: too \
         slow for the caller; INTERNAL and UNKNOWN: a defect.",
    )
    .query(or_none(&failed, "grpc_code", "failed", &total), "{{grpc_code}} {{grpc_method}}")
    .colour("/^failed/", Colour::Unconcerned)
    .colour("/^[A-Z]/", Colour::Failed)
    .axis_to(0.1)
    .size(6, 8)
    .no_value("No gRPC call")
    .traces("Failed traces", Traces::of(SERVICE).failed())
    .logs("Lines of failed calls", &[SERVICE], &format!(r#"| json | message="call" | fields_{GRPC_FAILURES}"#))
    .dashboard("ePRO and RPC", "epro-rpc")
}

fn refused() -> Panel {
    let calls = sum_by("grpc_code", &grpc(GRPC_REFUSALS));
    let requests = or_none(&sum_by("status", &http(REFUSED)), "status", "429", &sum_by("", &http("")));
    Panel::new(
        Kind::TimeSeries,
        "Refusals",
        "reqps",
        "Callers turned away a second, which is no failure of ours: 401 unknown key, 403 key without the scope, 429 too many \
         requests; the same over gRPC. Normal: little. Who it is: Callers by key in Limits and resilience.",
    )
    .query(requests, "{{status}}")
    .query(or_none(&calls, "grpc_code", "RESOURCE_EXHAUSTED", &sum_by("", &grpc(""))), "{{grpc_code}}")
    .stacked()
    .axis_to(1.0)
    .size(6, 8)
    .logs("Lines of refusals", SERVICES, &format!("| json | fields_{REFUSED}"))
    .traces("Traces of 429", Traces::of(SERVICE).tag("http.response.status_code", "429"))
    .dashboard("Limits and resilience", "limits-resilience")
}
