//! What must hold whatever happens: the commits, the jobs that a crash had cut off, and the ledger.

use super::{accepts, attempt_lines, attempts, commits};
use crate::{
    names,
    panel::{Kind, Panel},
    query::{aggregate, quantile, series, sum_by},
    services::SERVICE,
};

pub fn panels() -> Vec<Panel> {
    vec![commit_duration(), crashes(), states()]
}

fn commit_duration() -> Panel {
    let of = |q| quantile(q, "operation", names::QUEUE_COMMIT_DURATION, "");
    Panel::new(
        Kind::TimeSeries,
        "Commit duration",
        "s",
        "How long commits with their sync take, by what they are for: accept answers a caller, begin comes before a call \
         to a gateway, complete after it. Normal: what the disk takes for a sync, some milliseconds. All three rise: the \
         disk. Runtime and telemetry has how many rows share one.",
    )
    .latency(of(0.99), "{{operation}}")
    .size(8, 9)
    .traces("Slow commits", commits().at_least("50ms"))
    .logs("Lines about the store", &[SERVICE], r#"| json | message=~".*store.*|.*commit.*""#)
    .dashboard("Runtime and telemetry", "runtime-telemetry")
}

fn crashes() -> Panel {
    let found = format!("increase({}[$__range])", series(names::QUEUE_RECOVERED_JOBS, ""));
    Panel::new(
        Kind::Stat,
        "Crashes and the store",
        "locale",
        "cut off: attempts that a start found unfinished, within the time range shown: the gateway may have got them twice, with \
         the same key; an instance did not stop in order, and its last lines say why. can't commit: instances whose store \
         fails right now; they answer 503 and say the reason on /readyz. Normal: 0 and 0.",
    )
    .query(sum_by("", &found), "cut off")
    .query(format!("sum(1 - {})", series(names::STORE_UP, "")), "can't commit")
    .warn_from(1.0)
    .decimals(0)
    .no_trend()
    .size(4, 9)
    .traces("Attempts that were made again", attempts().tag("attempt", "2"))
    .logs("Starts and stops", &[SERVICE], r#"|~ "recovered jobs|shutdown begins|\"ready\"|panicked""#)
}

fn states() -> Panel {
    let jobs = sum_by("instance, state", &series(names::NOTIFICATION_LEDGER_JOBS, ""));
    Panel::new(
        Kind::Table,
        "Ledger",
        "locale",
        "All notifications ever accepted, by what became of them, as the store of each instance has it: it survives \
         restarts and retention. accepted is exactly the sum of the others. Replicas of one store show the same.",
    )
    .query(aggregate("sort_desc", "", &jobs), "{{state}}")
    .column("instance", "Instance")
    .column("state", "State")
    .column("Value", "Notifications")
    .decimals(0)
    .size(12, 9)
    .traces("Accepts", accepts())
    .logs("Attempts", &[SERVICE], &attempt_lines(r#"fields_status!="""#))
}
