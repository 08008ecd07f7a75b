//! The door: rate limit, identities, connections.

use crate::{
    links::Traces,
    names,
    palette::Colour,
    panel::{Kind, Panel},
    query::{increase, or_none, rate, series, share_or_zero, sum_by},
    services::{SERVICE, SERVICES},
};

const LIMITED: &str = r#"decision="limited""#;
const NOT_OK: &str = r#"outcome!="ok""#;
const LINES_OF_REFUSALS: &str = r#"| json | fields_status=~"401|403|429""#;
const LINES_OF_CONNECTIONS: &str = r#"| json | message=~".*connections.*|cannot accept""#;

pub fn callers() -> Vec<Panel> {
    vec![limited_share(), limited(), unknown_keys(), remembered_now(), overflow(), decisions(), by_key()]
}

/// A stat with the links of what is refused at the door.
fn stat(title: &str, unit: &'static str, description: &str) -> Panel {
    Panel::new(Kind::Stat, title, unit, description)
        .size(5, 4)
        .logs("Lines of refusals", SERVICES, LINES_OF_REFUSALS)
        .traces_of_each("Traces of 429", |traces| traces.tag("http.response.status_code", "429"))
}

fn limited_share() -> Panel {
    let decisions = |matchers: &str| sum_by("", &rate(names::RATE_LIMIT_DECISIONS, matchers));
    stat(
        "Limited share",
        "percentunit",
        "The share of requests that the rate limit refuses. Normal: 0, or one caller in a loop. High with many callers: the limit is \
         too low, or they share an address behind a proxy that is not trusted.",
    )
    .query(share_or_zero(&decisions(LIMITED), &decisions("")), "limited")
    .warn_from(0.05)
    .range(Some(0.0), Some(1.0))
    .decimals(1)
}

fn limited() -> Panel {
    stat(
        "Limited",
        "reqps",
        "Requests a second that got 429 or RESOURCE_EXHAUSTED. Each tells its caller when to come back. Who it is: Callers by key.",
    )
    .query(sum_by("", &rate(names::RATE_LIMIT_DECISIONS, LIMITED)), "limited")
    .warn_from(1.0)
    .decimals(1)
}

fn unknown_keys() -> Panel {
    stat(
        "Unknown or forbidden",
        "reqps",
        "Requests a second with a key that is not known, or lacks the scope. Normal: 0. After a change of keys: a caller that still \
         has the old one; otherwise somebody guesses, and ends in 429.",
    )
    .query(sum_by("", &rate(names::AUTH_REQUESTS, NOT_OK)), "refused")
    .warn_from(0.1)
    .decimals(1)
}

fn remembered_now() -> Panel {
    stat(
        "Clients remembered",
        "none",
        "Clients whose bucket is not full, over all instances: each is forgotten when its burst is there again. At the cap \
         (APP_LIMITS__MAX_CLIENTS) new addresses share one bucket.",
    )
    .query(sum_by("", &series(names::RATE_LIMIT_CLIENTS, "")), "clients")
    .decimals(0)
}

fn overflow() -> Panel {
    stat(
        "In the overflow bucket",
        "reqps",
        "Requests a second of clients that there was no room to remember. Normal: 0. Above it many addresses come at once: an \
         attack, or a cap that is too small. Keys never fall into it.",
    )
    .query(sum_by("", &rate(names::RATE_LIMIT_OVERFLOW, "")), "overflow")
    .bad_from(0.001)
    .decimals(1)
    .size(4, 4)
}

fn decisions() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Decisions of the rate limit",
        "reqps",
        "Requests a second that the rate limit let through (green) or refused (orange), over HTTP and gRPC. Normal: green. Orange that \
         stays flat while green falls: a caller that does not heed Retry-After.",
    )
    .query(sum_by("decision, surface", &rate(names::RATE_LIMIT_DECISIONS, "")), "{{surface}} {{decision}}")
    .colour("http allowed", Colour::Shade("green"))
    .colour("grpc allowed", Colour::Shade("semi-dark-green"))
    .colour("http limited", Colour::Shade("orange"))
    .colour("grpc limited", Colour::Shade("semi-dark-orange"))
    .stacked()
    .size(12, 9)
    .logs("Lines of refusals", SERVICES, LINES_OF_REFUSALS)
    .traces_of_each("Traces of 429", |traces| traces.tag("http.response.status_code", "429"))
}

fn by_key() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Callers by key",
        "reqps",
        "Requests a second by the key that made them and whether it may; none is everybody without a known key. One that grows alone is \
         the caller to talk to.",
    )
    .query(sum_by("key, outcome", &rate(names::AUTH_REQUESTS, "")), "{{key}} {{outcome}}")
    .colour("none ok", Colour::Fact)
    .colour("/ unknown_key$/", Colour::Failed)
    .colour("/ forbidden$/", Colour::Unknown)
    .legend_table()
    .size(12, 9)
    .logs("Lines of this key", SERVICES, r#"| json | fields_key="${__field.labels.key}""#)
    .logs("Lines of refusals", SERVICES, LINES_OF_REFUSALS)
    .traces("Traces of this key", Traces::of(SERVICE).tag("user.name", "${__field.labels.key}"))
}

pub fn connections() -> Vec<Panel> {
    vec![open(), closed(), handshakes()]
}

fn open() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Connections by listener",
        "none",
        "Open connections by listener, those in a TLS handshake among them. Normal: steady, far below the limit (20,000 a listener unless \
         APP_HTTP__MAX_CONNECTIONS is set).",
    )
    .query(sum_by("listener", &series(names::HTTP_CONNECTIONS, "")), "{{listener}}")
    .axis_to(5.0)
    .decimals(0)
    .logs("Lines of connections", SERVICES, LINES_OF_CONNECTIONS)
    .dashboard("Open files", "runtime-telemetry")
}

fn closed() -> Panel {
    let events = |name: &str| sum_by("", &increase(name, ""));
    Panel::new(
        Kind::TimeSeries,
        "Connections turned away",
        "none",
        "Connections in each interval that waited since the limit was reached, were refused since their address has half of all, or \
         were closed since their first bytes or headers were slow. Normal: 0. Slow ones in numbers: an attack, or a broken network.",
    )
    .query(events(names::HTTP_CONNECTIONS_LIMIT_REACHED), "limit reached")
    .query(events(names::HTTP_CONNECTIONS_REFUSED), "refused: half is its address's")
    .query(events(names::HTTP_CONNECTIONS_TIMED_OUT), "closed: slow")
    .colour("limit reached", Colour::Failed)
    .colour("/^refused/", Colour::Refused)
    .colour("/^closed/", Colour::Waiting)
    .axis_to(5.0)
    .decimals(0)
    .logs("Lines of connections", SERVICES, LINES_OF_CONNECTIONS)
}

fn handshakes() -> Panel {
    let failed = sum_by("listener", &increase(names::TLS_HANDSHAKES_FAILED, ""));
    let all = sum_by("", &increase(names::TLS_HANDSHAKES_FAILED, ""));
    Panel::new(
        Kind::TimeSeries,
        "Failed TLS handshakes",
        "none",
        "Connections in each interval that did not come to speak TLS with us, by listener. Normal: 0, or scanners. All at once after a new \
         certificate: callers do not trust it.",
    )
    .query(or_none(&failed, "listener", "any", &all), "{{listener}}")
    .axis_to(5.0)
    .decimals(0)
    .logs("Lines of certificates", SERVICES, r#"| json | message=~".*certificate.*""#)
}
