//! What is short before callers notice, and which builds run.

use crate::{
    links::Traces,
    names,
    palette::Colour,
    panel::{Kind, Panel},
    platform::{collectors, runtime::store},
    query::{max_by, series, sum_by},
    services::{SERVICE, SERVICES},
};

/// Seconds within which urgent jobs are to be delivered.
const URGENT_OBJECTIVE: f64 = 60.0;

pub fn panels() -> Vec<Panel> {
    vec![pressure(), in_hand(), connections(), workers(), backlog(), oldest(), store_up(), store_space()]
}

fn pressure() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Pressure",
        "percentunit",
        "How near each signal is to the point where load is shed: 100 % (dashed). queue_age: jobs wait for their first attempt; \
         latency: accepts are slow; in_flight: too many requests in hand. Normal: below half.",
    )
    .query(max_by("signal", &series(names::DEGRADATION_PRESSURE, "")), "{{signal}}")
    .bad_from(1.0)
    .axis_to(1.1)
    .no_value("Nothing is shed by this service")
    .logs("Lines of shedding", &[SERVICE], r#"| json | message=~"overloaded.*|calm.*|degradation set.*""#)
    .dashboard("Limits and resilience", "limits-resilience")
}

fn in_hand() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Requests in flight",
        "none",
        "HTTP requests being answered, by instance. Normal: near rate × latency, so a few. A rise without more traffic: \
         something they wait for is slow.",
    )
    .query(sum_by("job, instance", &series(names::HTTP_REQUESTS_IN_FLIGHT, "")), "{{job}} {{instance}}")
    .axis_to(5.0)
    .decimals(0)
    .traces_of_each("Traces over 1 s", |traces| traces.at_least("1s"))
}

fn connections() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Open connections",
        "none",
        "Open connections by listener, over all instances. Each listener has a limit (20,000 unless set); what happens at it is in \
         Limits and resilience. Normal: steady; a climb without traffic: callers that do not reuse or close.",
    )
    .query(sum_by("listener", &series(names::HTTP_CONNECTIONS, "")), "{{listener}}")
    .axis_to(5.0)
    .decimals(0)
    .logs("Lines of connections", SERVICES, r#"| json | message=~".*connections.*|cannot accept""#)
    .dashboard("Limits and resilience", "limits-resilience")
}

fn workers() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Workers",
        "none",
        "Deliveries in flight, and how many there may be (dashed). At the line deliveries queue up: the gateway is slow (its \
         latency is in Notifications), or there are too few workers.",
    )
    .query(sum_by("", &series(names::WORKERS_BUSY, "")), "busy")
    .query(sum_by("", &series(names::WORKERS, "")), "limit")
    .limit_line("limit")
    .colour("busy", Colour::Fact)
    .decimals(0)
    .no_value("No queue in this service")
    .traces("Attempts over 1 s", Traces::of(SERVICE).operation("process notifications").at_least("1s"))
    .dashboard("Notifications", "notifications")
}

fn backlog() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Backlog",
        "none",
        "Unfinished jobs by state, and those of studies that are still to be made: the fullest store that is chosen. ready waits \
         for a worker, scheduled for its time. Normal: ready near 0; it grows when gateways fail.",
    )
    .query(max_by("state", &series(names::QUEUE_JOBS, "")), "{{state}}")
    .query(max_by("", &series(names::QUEUE_BATCH_JOBS_PENDING, "")), "to be made")
    .axis_to(10.0)
    .decimals(0)
    .no_value("No queue in this service")
    .traces("Attempts", Traces::of(SERVICE).operation("process notifications"))
    .logs("Lines of attempts that failed", &[SERVICE], r#"| json | message="attempt finished" | fields_outcome!="delivered""#)
    .dashboard("Notifications", "notifications")
}

fn oldest() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Oldest due job",
        "s",
        "How long the longest-due job has waited, by priority. Normal: seconds. Urgent ones are to be delivered within 60 s (dashed), \
         normal ones within 5 min. A straight climb: nothing is delivered any more.",
    )
    .query(max_by("priority", &series(names::QUEUE_OLDEST_JOB_AGE, "")), "{{priority}}")
    .bad_from(URGENT_OBJECTIVE)
    .axis_to(URGENT_OBJECTIVE * 1.1)
    .no_value("No queue in this service")
    .traces("Attempts that failed", Traces::of(SERVICE).operation("process notifications").failed())
    .logs("Lines of attempts that failed", &[SERVICE], r#"| json | message="attempt finished" | fields_outcome!="delivered""#)
    .dashboard("Notifications", "notifications")
}

fn store_up() -> Panel {
    store::up().size(12, 6).dashboard("Store and commits", "runtime-telemetry")
}

fn store_space() -> Panel {
    store::space().size(12, 6).dashboard("Store and commits", "runtime-telemetry")
}

pub fn builds() -> Vec<Panel> {
    vec![versions(), uptime()]
}

fn versions() -> Panel {
    Panel::new(
        Kind::Table,
        "Builds that run",
        "none",
        "How many instances run which build. Normal: one row for each job; two while a release is rolled out. A build alone that \
         fails: roll back.",
    )
    .query(sum_by("job, version, commit, platform_version, rustc", &series(names::BUILD_INFO, "")), "")
    .order(&["job", "version", "commit", "platform_version", "rustc", "Value"])
    .column("job", "Job")
    .column("version", "Version")
    .column("commit", "Commit")
    .column("platform_version", "Platform")
    .column("rustc", "Rust")
    .column("Value", "Instances")
    .traces_of_each("Failed traces", Traces::failed)
    .logs("Lines of starts", SERVICES, r#"| json | message="ready""#)
    .size(12, 6)
}

fn uptime() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Uptime",
        "s",
        "Time since each process started: a fall to 0 is a restart. Several in a row without a deploy: it crashes; its last lines \
         before each fall tell why.",
    )
    .query(
        format!("time() - max by (job, instance) ({})", series(collectors::START_TIME, "")),
        "{{job}} {{instance}}",
    )
    .logs("Lines of starts, stops and panics", SERVICES, r#"| json | message=~"ready|stopped|shutdown begins.*|panicked""#)
    .dashboard("Runtime and telemetry", "runtime-telemetry")
    .size(12, 6)
}
