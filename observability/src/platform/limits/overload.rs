//! What is given up under overload, so that the rest goes on.

use crate::{
    links::Traces,
    names,
    palette::Colour,
    panel::{Kind, Panel},
    query::{max_by, rate, series, sum_by},
    services::SERVICE,
};

const LINES: &str = r#"| json | message=~"overloaded.*|calm.*|degradation set.*""#;

pub fn panels() -> Vec<Panel> {
    vec![level_now(), pinned(), shed_now(), level(), pressure(), shed()]
}

/// A stat with the links that tell of shedding.
fn stat(title: &str, unit: &'static str, description: &str) -> Panel {
    Panel::new(Kind::Stat, title, unit, description)
        .logs("Lines of shedding", &[SERVICE], LINES)
        .traces("Traces of 503", Traces::of(SERVICE).tag("http.response.status_code", "503"))
        .size(4, 6)
}

fn level_now() -> Panel {
    stat(
        "Degradation",
        "none",
        "What is shed now: previews from level 1, bulk notifications from 2, reading reports from 3. Normal: nothing. Which signal asks \
         for it: Signals of overload.",
    )
    .query(max_by("", &series(names::DEGRADATION_LEVEL, "")), "level")
    .state(0.0, "nothing is shed", Colour::Good)
    .state(1.0, "1: previews", Colour::Waiting)
    .state(2.0, "2: + bulk", Colour::Refused)
    .state(3.0, "3: + reading reports", Colour::Failed)
    .no_trend()
    .no_value("Nothing is shed by this service")
}

fn pinned() -> Panel {
    stat(
        "Level set by hand",
        "none",
        "Whether an operator has pinned the level anywhere, so that it does not follow the signals. Normal: no. PUT /degradation with \
         auto on the admin listener frees it.",
    )
    .query(max_by("", &series(names::DEGRADATION_PINNED, "")), "pinned")
    .state(0.0, "no", Colour::Good)
    .state(1.0, "yes, by an operator", Colour::Refused)
    .no_trend()
    .no_value("Nothing is shed by this service")
}

fn shed_now() -> Panel {
    stat(
        "Shed",
        "reqps",
        "Requests a second that are refused with 503 (type degraded) or UNAVAILABLE to protect the rest. Normal: 0. They cost nothing of \
         the rate limit, and Retry-After says when to come back.",
    )
    .query(sum_by("", &rate(names::LOAD_SHED, "")), "shed")
    .warn_from(0.001)
    .decimals(1)
    .no_value("Nothing is shed by this service")
}

fn level() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Level by instance",
        "none",
        "The level of degradation of each instance, which judges for itself. Normal: 0. One instance alone: look at its requests in flight and \
         its disk. Up and down again and again: raise APP_DEGRADATION__HOLD.",
    )
    .query(max_by("instance", &series(names::DEGRADATION_LEVEL, "")), "{{instance}}")
    .stepped()
    .range(Some(0.0), Some(3.0))
    .size(12, 6)
    .decimals(0)
    .no_value("Nothing is shed by this service")
    .logs("Lines of shedding", &[SERVICE], LINES)
}

fn pressure() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Signals of overload",
        "percentunit",
        "What the level is measured by; from 100 % (dashed) on it rises, below 70 % it may fall. queue_age: jobs wait for their first \
         attempt; latency: accepts are slow; in_flight: too many requests in hand.",
    )
    .query(max_by("signal", &series(names::DEGRADATION_PRESSURE, "")), "{{signal}}")
    .bad_from(1.0)
    .axis_to(1.1)
    .size(12, 8)
    .no_value("Nothing is shed by this service")
    .logs("Lines of shedding", &[SERVICE], LINES)
    .traces("Traces over 100 ms", Traces::of(SERVICE).at_least("100ms"))
    .dashboard("Store and commits", "runtime-telemetry")
}

fn shed() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Shed by feature",
        "reqps",
        "Requests a second that were refused to protect the service, by what they asked for. Normal: 0. Previews may also be shed alone, \
         when their own line is full.",
    )
    .query(sum_by("feature", &rate(names::LOAD_SHED, "")), "{{feature}}")
    .shades(Colour::Refused)
    .stacked()
    .axis_to(1.0)
    .size(12, 8)
    .no_value("Nothing is shed by this service")
    .logs("Lines of shedding", &[SERVICE], LINES)
    .traces("Traces of 503", Traces::of(SERVICE).tag("http.response.status_code", "503"))
}
