//! gRPC calls, as the server and as the client sees them, side by side.

use super::{BAD, CTMS, OURS, called, served};
use crate::{
    domain::quantiles_of_two,
    links::Traces,
    names,
    panel::{Kind, Panel},
    query::{or_zero, quantile, rate, sum_by},
    services::{SERVICE, SERVICES},
};

/// One of the two who see a call.
struct Side {
    label: &'static str,
    name: &'static str,
    service: &'static str,
    traces: fn() -> Traces,
    /// What its panels add.
    note: &'static str,
}

const SERVER: Side = Side {
    label: "server",
    name: "served",
    service: SERVICE,
    traces: served,
    note: "As the server sees it, from the call's arrival until its status is known.",
};
const CLIENT: Side = Side {
    label: "client",
    name: "called",
    service: CTMS,
    traces: called,
    note: "As the caller sees it, each attempt by itself. What it has on top of the server's is the way, and waiting for a \
        connection.",
};

pub fn panels() -> Vec<Panel> {
    vec![duration(&SERVER), duration(&CLIENT), codes(&SERVER), codes(&CLIENT), errors()]
}

impl Side {
    fn matchers(&self) -> String {
        format!(r#"{OURS},side="{}""#, self.label)
    }
}

/// Lines of calls: only servers write them.
fn lines(filter: &str) -> String {
    format!(r#"| json | message="call" | {filter}"#)
}

fn duration(side: &Side) -> Panel {
    let of = |q| quantile(q, "grpc_method", names::GRPC_REQUEST_DURATION, &side.matchers());
    let description = format!(
        "{} On a scale of powers of ten. Normal: some milliseconds; the caller's breaker calls a quarter of its deadline \
         slow (0.5 s where nothing else is set, dashed). Slow on both sides: the server, see its store. Slow for the caller alone: the network.",
        side.note
    );
    let panel = Panel::new(Kind::TimeSeries, &format!("Duration, {}", side.name), "s", &description)
        .latency(of(0.99), "{{grpc_method}} P99")
        .query(of(0.95), "{{grpc_method}} P95")
        .query(of(0.5), "{{grpc_method}} P50")
        .log_scale()
        .limit(0.5, "slow for the breaker")
        .size(12, 8)
        .traces("Slow calls", (side.traces)().at_least("100ms"))
        .logs("Slow calls", &[SERVICE], &lines("fields_duration_ms > 100"));
    quantiles_of_two(panel, "GetLatestReport", "SubmitReport")
}

fn codes(side: &Side) -> Panel {
    let count = format!("{}_count", names::GRPC_REQUEST_DURATION);
    let description = format!(
        "Calls a second by code. {} Normal: OK, and NOT_FOUND where a patient has no report. The caller's are more where it \
         tries again.",
        side.note
    );
    Panel::new(Kind::TimeSeries, &format!("Calls by code, {}", side.name), "reqps", &description)
        .query(sum_by("grpc_code", &rate(&count, &side.matchers())), "{{grpc_code}}")
        .stacked()
        .traces("Calls", (side.traces)())
        .logs("Lines", &[side.service], r#"| json | message=~"call|request""#)
}

fn errors() -> Panel {
    let count = format!("{}_count", names::GRPC_REQUEST_DURATION);
    let of = |side: &Side| {
        let calls = rate(&count, &format!("{},{BAD}", side.matchers()));
        let all = rate(&count, &side.matchers());
        let labels = "grpc_method";
        or_zero(&sum_by(labels, &calls), &sum_by(labels, &all))
    };
    Panel::new(
        Kind::TimeSeries,
        "Calls that failed",
        "reqps",
        "Calls a second that ended with a code that is no answer: UNAVAILABLE, DEADLINE_EXCEEDED, INTERNAL, UNKNOWN, \
         DATA_LOSS. Normal: 0. Both sides alike: the server refuses or fails, its lines say why. The caller alone: it \
         did not get there, see Endpoints.",
    )
    .query(of(&CLIENT), "called: {{grpc_method}}")
    .query(of(&SERVER), "served: {{grpc_method}}")
    .axis_to(0.1)
    .traces("Calls that failed", called().failed())
    .logs("Calls that failed", SERVICES, &lines(&BAD.replace("grpc_code", "fields_grpc_code")))
}
