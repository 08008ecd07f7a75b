//! The caller's side: breaker, attempts, what is not called at all, and whom it could call.

use super::{CTMS, called};
use crate::{
    names,
    palette::Colour,
    panel::{Kind, Panel},
    query::{increase, max_by, or_zero, rate, series, sum_by},
    services::SERVICES,
};

pub fn panels() -> Vec<Panel> {
    vec![breaker(), amplification(), retries(), not_called(), endpoints(), registration()]
}

/// Lines of the caller about this.
fn about(words: &str) -> String {
    format!(r#"| json | message=~".*({words}).*""#)
}

fn breaker() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Breaker",
        "short",
        "The state of the breaker before each target, of the instance where it is worst: 0 closed (all calls pass), 1 \
         half-open (one call probes), 2 open (none is made); and (right) how often one opened, which sees what is shorter \
         than a scrape; a probe that fails opens it again. Normal: 0. \
         epro is the ePRO service for ctms; sms and push are gateways, see Notifications.",
    )
    .query(max_by("target", &series(names::CIRCUIT_BREAKER_STATE, "")), "{{target}}")
    .query(
        sum_by("target", &increase(names::CIRCUIT_BREAKER_TRANSITIONS, r#"to="open""#)),
        "{{target}} opened",
    )
    .right_axis("/opened$/", "short")
    .colour("/opened$/", Colour::Refused)
    .stepped()
    .axis_to(2.0)
    .traces("Calls that failed", called().failed())
    .logs("Breakers", SERVICES, &about("circuit breaker"))
    .dashboard("Limits and resilience", "limits-resilience")
}

fn amplification() -> Panel {
    let count = format!("{}_count", names::GRPC_REQUEST_DURATION);
    let attempts = sum_by("grpc_method", &rate(&count, r#"side="client""#));
    let again = sum_by("grpc_method", &rate(names::RPC_CLIENT_RETRIES, ""));
    Panel::new(
        Kind::TimeSeries,
        "Attempts for each call",
        "short",
        "How much load retries add: attempts by calls. Normal: 1. The budget keeps it below 1.1 (dashed) in the long run, \
         but what was surely not sent costs none of it: a restart of the other side may go above for a while.",
    )
    .query(format!("{attempts} / ({attempts} - {again} > 0)"), "{{grpc_method}}")
    .warn_from(1.1)
    .axis_to(1.2)
    .range(Some(1.0), None)
    .decimals(2)
    .traces("Second attempts", called().tag("attempt", "2"))
    .logs("Lines of ctms", &[CTMS], r#"| json | message="request""#)
}

fn retries() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Made again, and not made again",
        "reqps",
        "Calls that were made again, as they were surely not sent or the other side was unavailable; and failed ones that \
         were not, since all attempts were spent, the budget was, time was, or the breaker opened. Normal: 0.",
    )
    .query(sum_by("reason", &rate(names::RPC_CLIENT_RETRIES, "")), "again: {{reason}}")
    .query(sum_by("reason", &rate(names::RPC_CLIENT_RETRIES_WITHHELD, "")), "not again: {{reason}}")
    .axis_to(0.1)
    .traces("Second attempts", called().tag("attempt", "2"))
    .logs("Lines of ctms", &[CTMS], r#"| json | message="request""#)
}

fn not_called() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Not called at all",
        "reqps",
        "Calls that were not made: the breaker was open, no time was left, or most were turned away of late and so \
         some are spared (throttled). Normal: 0. Callers of ctms then get what it remembers, or 503.",
    )
    .query(sum_by("reason", &rate(names::RPC_CLIENT_REFUSED, "")), "{{reason}}")
    .query(sum_by("", &rate(names::RPC_CLIENT_THROTTLED, "")), "throttled")
    .colour("breaker_open", Colour::Failed)
    .colour("deadline", Colour::Refused)
    .colour("throttled", Colour::Unknown)
    .stacked()
    .axis_to(0.1)
    .traces("Questions that failed", super::asked().failed())
    .logs("Breakers", &[CTMS], &about("circuit breaker"))
}

fn endpoints() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Endpoints",
        "short",
        "The instances that the caller knows, by whether they answer probes; as the instance of ctms tells that sees \
         most. Normal: all up. new lasts for a second. None up: each call fails at once.",
    )
    .query(max_by("target, state", &series(names::RPC_CLIENT_ENDPOINTS, "")), "{{target}} {{state}}")
    .colour("/up$/", Colour::Good)
    .colour("/new$/", Colour::Waiting)
    .colour("/down$/", Colour::Failed)
    .stepped()
    .traces("Calls that failed", called().failed())
    .logs("Endpoints", &[CTMS], &about("endpoint|etcd|name is"))
}

fn registration() -> Panel {
    let found = |name| sum_by("target", &increase(name, ""));
    let failed = |name| sum_by("target", &increase(name, r#"outcome="failed""#));
    let missing = format!("sum(1 - {})", series(names::GRPC_REGISTRATION_UP, ""));
    let lookups = found(names::RPC_CLIENT_LOOKUPS);
    let like = format!("sum({})", series(names::RPC_CLIENT_ENDPOINTS, ""));
    Panel::new(
        Kind::TimeSeries,
        "Registration",
        "short",
        "What should not happen on the way to each other: servers that etcd does not hold (where they are to \
         register), look-ups of endpoints that failed (those that are known stay in use), and keys that could not be read again (the \
         one before stays). Normal: 0.",
    )
    .query(failed(names::RPC_CLIENT_LOOKUPS), "{{target}}: look-ups failed")
    .query(or_zero(&failed(names::RPC_CLIENT_KEY_RELOADS), &lookups), "{{target}}: keys not read")
    .query(or_zero(&missing, &like), "servers not registered")
    .warn_from(1.0)
    .axis_to(2.0)
    .decimals(0)
    .traces("Calls that failed", called().failed())
    .logs("Finding and registering", SERVICES, &about("endpoint|etcd|name is|regist|key"))
}
