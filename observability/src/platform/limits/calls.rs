//! Calls to others: whether a fault over there stays over there.

use crate::{
    links::Traces,
    names,
    palette::Colour,
    panel::{Kind, Panel},
    query::{increase, max_by, rate, series, sum_by},
    services::SERVICES,
};

const LINES_OF_BREAKERS: &str = r#"| json | message=~"the circuit breaker.*""#;
const LINES_OF_ENDPOINTS: &str = r#"| json | message=~".*endpoint.*|name is not found.*|etcd is away.*""#;

pub fn panels() -> Vec<Panel> {
    vec![state_now(), state(), transitions(), retries(), not_made(), endpoints(), lookups()]
}

fn failed(panel: Panel) -> Panel {
    panel.traces_of_each("Failed traces", Traces::failed)
}

fn state_now() -> Panel {
    let panel = Panel::new(
        Kind::Stat,
        "Breakers",
        "none",
        "The state of each circuit breaker, the worst of all instances: sms and push are gateways, others are services. Normal: closed. Open: \
         nothing is sent there but a probe a second; what waits is parked, not lost.",
    )
    .query(max_by("target", &series(names::CIRCUIT_BREAKER_STATE, "")), "{{target}}")
    .state(0.0, "closed", Colour::Good)
    .state(1.0, "half-open", Colour::Waiting)
    .state(2.0, "open", Colour::Failed)
    .no_trend()
    .no_value("No breaker: nothing is called")
    .logs("Lines of breakers", SERVICES, LINES_OF_BREAKERS)
    .dashboard("Notifications", "notifications")
    .size(6, 8);
    failed(panel)
}

fn state() -> Panel {
    let panel = Panel::new(
        Kind::TimeSeries,
        "State of breakers",
        "none",
        "When each breaker was open, by target and instance. Normal: closed. All instances at once: the other side is down; one alone: its \
         network.",
    )
    .query(max_by("job, instance, target", &series(names::CIRCUIT_BREAKER_STATE, "")), "{{target}} {{instance}}")
    .state(0.0, "closed", Colour::Good)
    .state(1.0, "half-open", Colour::Waiting)
    .state(2.0, "open", Colour::Failed)
    .stepped()
    .range(Some(0.0), Some(2.0))
    .decimals(0)
    .size(9, 8)
    .no_value("No breaker: nothing is called")
    .logs("Lines of breakers", SERVICES, LINES_OF_BREAKERS);
    failed(panel)
}

fn transitions() -> Panel {
    let panel = Panel::new(
        Kind::TimeSeries,
        "Changes of breakers",
        "none",
        "Changes of state in each interval. Normal: 0. Many of open and half_open without closed: the other side is still down, and is \
         probed once a second.",
    )
    .query(sum_by("target, to", &increase(names::CIRCUIT_BREAKER_TRANSITIONS, "")), "{{target}} {{to}}")
    .colour("/ open$/", Colour::Failed)
    .colour("/ half_open$/", Colour::Waiting)
    .colour("/ closed$/", Colour::Good)
    .axis_to(5.0)
    .decimals(0)
    .size(9, 8)
    .no_value("No breaker: nothing is called")
    .logs("Lines of breakers", SERVICES, LINES_OF_BREAKERS);
    failed(panel)
}

fn retries() -> Panel {
    let panel = Panel::new(
        Kind::TimeSeries,
        "Retries",
        "reqps",
        "Calls to other services a second that were made again: not_sent never left us, unavailable was turned away. Normal: 0; some while \
         an instance over there restarts. Steady ones hide a fault that callers will see when the budget is used up.",
    )
    .query(sum_by("grpc_method, reason", &rate(names::RPC_CLIENT_RETRIES, "")), "{{grpc_method}} {{reason}}")
    .axis_to(1.0)
    .size(6, 8)
    .no_value("No service is called")
    .logs("Lines of endpoints", SERVICES, LINES_OF_ENDPOINTS)
    .dashboard("ePRO and RPC", "epro-rpc");
    failed(panel)
}

fn not_made() -> Panel {
    let by = |name: &str| sum_by("reason", &rate(name, ""));
    let panel = Panel::new(
        Kind::TimeSeries,
        "Calls and retries not made",
        "reqps",
        "What the client kept to itself, a second: refused calls (breaker open, no time left), retries withheld (too many attempts, budget \
         used up), and throttled calls (most were turned away of late). Normal: 0. It spares who is down already.",
    )
    .query(by(names::RPC_CLIENT_REFUSED), "refused {{reason}}")
    .query(by(names::RPC_CLIENT_RETRIES_WITHHELD), "withheld {{reason}}")
    .query(sum_by("", &rate(names::RPC_CLIENT_THROTTLED, "")), "throttled")
    .axis_to(1.0)
    .size(8, 8)
    .no_value("No service is called")
    .logs("Lines of breakers", SERVICES, LINES_OF_BREAKERS)
    .dashboard("ePRO and RPC", "epro-rpc");
    failed(panel)
}

fn endpoints() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Endpoints",
        "none",
        "Endpoints of other services by whether they take calls, over all instances that call. Normal: all up. None up: every call fails \
         or is answered from memory.",
    )
    .query(sum_by("target, state", &series(names::RPC_CLIENT_ENDPOINTS, "")), "{{target}} {{state}}")
    .colour("/ up$/", Colour::Good)
    .colour("/ down$/", Colour::Failed)
    .colour("/ new$/", Colour::Waiting)
    .stacked()
    .stepped()
    .decimals(0)
    .size(5, 8)
    .no_value("No service is called")
    .logs("Lines of endpoints", SERVICES, LINES_OF_ENDPOINTS)
}

fn lookups() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Look-ups of endpoints",
        "none",
        "How often endpoints were looked for in each interval, by what came of it. Normal: ok, and rarely. After a failed one the known \
         endpoints stay in use, so that nothing breaks at once: DNS or etcd is away.",
    )
    .query(sum_by("target, outcome", &increase(names::RPC_CLIENT_LOOKUPS, "")), "{{target}} {{outcome}}")
    .colour("/ ok$/", Colour::Good)
    .colour("/ failed$/", Colour::Failed)
    .axis_to(5.0)
    .decimals(0)
    .size(5, 8)
    .no_value("No service is called")
    .logs("Lines of endpoints", SERVICES, LINES_OF_ENDPOINTS)
}
