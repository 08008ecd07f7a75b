//! The backlog: how much waits, for how long, and whether it grows.

use super::{accepts, attempts};
use crate::{
    names,
    palette::Colour,
    panel::{Kind, Panel},
    query::{max_by, rate, series, sum_by},
    services::SERVICE,
};

/// Lines that say why deliveries do not begin or end.
const TROUBLE: &str = r#"| json | level=~"WARN|ERROR""#;
/// The slowest drain that is reckoned with: without one, the time that a backlog needs would have no value
/// just when it matters.
const LEAST_DRAIN: &str = "0.001";

pub fn panels() -> Vec<Panel> {
    vec![jobs(), oldest(), in_and_out(), time_needed()]
}

fn jobs() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Jobs in the queue",
        "short",
        "Unfinished notifications: ready (due, and waiting for a worker), scheduled (waiting for their sendAt, or for their \
         next attempt), running (an attempt is on its way), and how many of them are jobs of study messages that are still to \
         be made. Normal: ready goes back to 0 after each burst. It only grows: see Workers. scheduled rises without messages \
         that are planned ahead: see Attempts by outcome.",
    )
    .query(max_by("state", &series(names::QUEUE_JOBS, "")), "{{state}}")
    .query(max_by("", &series(names::QUEUE_BATCH_JOBS_PENDING, "")), "to be made of batches")
    .colour("to be made of batches", Colour::Waiting)
    .size(6, 8)
    .traces("Study messages being expanded", super::expansions())
    .logs("Warnings and errors", &[SERVICE], TROUBLE)
}

fn oldest() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Oldest due job",
        "s",
        "How long the longest-due notification has been due, by priority. Normal: 0 to some seconds, and longer while \
         one is tried again. This is what sees a notification that never finishes. It rises by a second a second: nothing is \
         delivered at all, see Attempts by outcome.",
    )
    .query(max_by("priority", &series(names::QUEUE_OLDEST_JOB_AGE, "")), "{{priority}}")
    .warn_from(60.0)
    .bad_from(300.0)
    .size(6, 8)
    .traces("Attempts that failed", attempts().failed())
    .logs("Warnings and errors", &[SERVICE], TROUBLE)
}

fn in_and_out() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Accepted and finished",
        "cps",
        "Notifications a second that came in and that reached their last state, delivered or not. Normal: both alike, \
         with finished a little behind. Finished lies below: the backlog grows.",
    )
    .query(sum_by("", &rate(names::NOTIFICATION_ACCEPTED, "")), "accepted")
    .query(sum_by("", &rate(names::NOTIFICATION_FINISHED, "")), "finished")
    .colour("finished", Colour::Good)
    .size(6, 8)
    .traces("Accepts", accepts())
    .logs("Warnings and errors", &[SERVICE], TROUBLE)
}

fn time_needed() -> Panel {
    let due = max_by("", &series(names::QUEUE_JOBS, r#"state="ready""#));
    let drain = sum_by("", &rate(names::NOTIFICATION_FINISHED, ""));
    Panel::new(
        Kind::TimeSeries,
        "Time to work off what is due",
        "s",
        "Jobs that are due and wait for a worker, divided by what is finished a second: how long they would take at this speed \
         if nothing came in. Normal: seconds. Where nothing finishes at all, one in a thousand seconds is reckoned with. Long: \
         Workers says whether we are at our limit, Attempt duration whether the gateway is slow.",
    )
    .query(format!("{due} / clamp_min({drain}, {LEAST_DRAIN})"), "time needed")
    .warn_from(60.0)
    .bad_from(300.0)
    .axis_to(1.0)
    .no_legend()
    .size(6, 8)
    .traces("Slow attempts", attempts().at_least("1s"))
    .logs("Warnings and errors", &[SERVICE], TROUBLE)
}
