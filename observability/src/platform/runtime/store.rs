//! The store below every accept: commits, their size, room.

use crate::{
    links::Traces,
    names,
    palette::Colour,
    panel::{Kind, Panel},
    query::{aggregate, increase, quantile, rate, series, share, sum_by},
    services::SERVICE,
};

/// Seconds of a commit above which an accept can hardly keep its objective of 100 ms.
const SLOW_COMMIT: f64 = 0.05;
const GIB: f64 = 1_073_741_824.0;
const LINES: &str =
    r#"| json | message=~".*(store|submission could not|checkpoint|recovered jobs|ledger).*""#;
/// The span of a commit, in a trace of its own that links to those that it serves.
const COMMIT_SPAN: &str = "commit";

pub fn panels() -> Vec<Panel> {
    vec![latency(), commits(), rows(), look_ups(), up(), space(), recovered()]
}

fn commit_traces() -> Traces {
    Traces::of(SERVICE).operation(COMMIT_SPAN)
}

fn latency() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Commit latency, P99",
        "s",
        "The time that 99 % of commits stay below, with their sync, by what they are for. Normal: a few milliseconds. Above 50 ms (dashed) accepts \
         miss their objective: the disk is slow or shared, or a checkpoint stalls.",
    )
    .latency(quantile(0.99, "operation", names::QUEUE_COMMIT_DURATION, ""), "{{operation}}")
    .bad_from(SLOW_COMMIT)
    .axis_to(SLOW_COMMIT * 1.1)
    .no_value("No commit, or no store in this service")
    .traces("Commits over 50 ms", commit_traces().at_least("50ms"))
    .logs("Lines of the store", &[SERVICE], LINES)
}

fn commits() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Commits",
        "ops",
        "Commits a second by what they are for. Under load one commit serves many, so this grows more slowly than requests do.",
    )
    .query(sum_by("operation", &rate(&format!("{}_count", names::QUEUE_COMMIT_DURATION), "")), "{{operation}}")
    .no_value("No commit, or no store in this service")
    .traces("Commits", commit_traces())
}

fn rows() -> Panel {
    let of = |part: &str| sum_by("operation", &rate(&format!("{}_{part}", names::QUEUE_COMMIT_ROWS), ""));
    Panel::new(
        Kind::TimeSeries,
        "Rows of a commit",
        "none",
        "How many writes one commit has on average, and the number that 99 % stay below. Near 1 at rest, tens and hundreds under load: that is what keeps the disk from being the \
         limit. Large and slow: the disk is the limit.",
    )
    .query(share(&of("sum"), &of("count")), "{{operation}}")
    .latency(quantile(0.99, "operation", names::QUEUE_COMMIT_ROWS, ""), "{{operation}}, P99")
    .decimals(1)
    .no_value("No commit, or no store in this service")
    .traces("Commits", commit_traces())
}

fn look_ups() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Look-ups",
        "ops",
        "Look-ups by key a second: in place, on the worker that answers the request, or on a reading thread. Normal: nearly all in place. \
         Many on threads: the store is slow to read, or the machine is busy; each then costs several times as much.",
    )
    .query(sum_by("outcome", &rate(names::STORE_LOOKUPS, "")), "{{outcome}}")
    .size(6, 6)
    .no_value("No look-up, or no store in this service")
    .traces("Reads of reports over 5 ms", Traces::of(SERVICE).operation("find latest report").at_least("5ms"))
}

/// Whether the store can commit.
pub fn up() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Store",
        "none",
        "Whether each instance can commit. Down: whatever stores something is answered with 503, and nothing is lost. The line names \
         the error; a full disk is the commonest.",
    )
    .query(aggregate("min", "instance", &series(names::STORE_UP, "")), "{{instance}}")
    .size(6, 6)
    .state(0.0, "down", Colour::Failed)
    .state(1.0, "up", Colour::Good)
    .stepped()
    .range(Some(0.0), Some(1.0))
    .decimals(0)
    .no_value("No store in this service")
    .logs("Lines of the store", &[SERVICE], LINES)
}

/// What the store may still grow by.
pub fn space() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Space left for the store",
        "bytes",
        "Free bytes where each instance's store lives. Below 1 GiB (dashed) plan for more; at 0 nothing can be accepted. Finished \
         jobs go after their retention, and the file's space is used again.",
    )
    .query(aggregate("min", "instance", &series(names::STORE_FREE_BYTES, "")), "{{instance}}")
    .size(6, 6)
    .bad_below(GIB)
    .no_value("No store in this service")
    .logs("Lines of the store", &[SERVICE], LINES)
}

fn recovered() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Jobs recovered from a crash",
        "none",
        "Jobs that a start found in an attempt which a crash had cut off, in each interval: they may have been sent, and are tried again or \
         held. Normal: 0; at most the workers' number after a kill.",
    )
    .query(sum_by("instance", &increase(names::QUEUE_RECOVERED_JOBS, "")), "{{instance}}")
    .axis_to(5.0)
    .size(6, 6)
    .decimals(0)
    .no_value("No store in this service")
    .logs("Lines of recovery", &[SERVICE], r#"| json | message=~"recovered jobs.*|ready""#)
    .dashboard("Notifications", "notifications")
}
