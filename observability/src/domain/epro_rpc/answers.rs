//! What callers of the second service get, and what it remembers for that.

use super::{CTMS, asked};
use crate::{
    names,
    palette::Colour,
    panel::{Kind, Panel},
    query::{increase, rate, series, sum_by},
};

/// What remembered reports may take at most (`src/ctms/cache.rs`).
const MOST_BYTES: f64 = 64.0 * 1024.0 * 1024.0;

pub fn panels() -> Vec<Panel> {
    vec![answers(), remembered()]
}

/// Lines of questions that came to this.
fn lines(filter: &str) -> String {
    format!(r#"| json | fields_route=~".*latest-report" | {filter}"#)
}

fn answers() -> Panel {
    let all = sum_by("source, reason", &rate(names::CTMS_REPORT_ANSWERS, ""));
    Panel::new(
        Kind::TimeSeries,
        "Answers by source",
        "reqps",
        "Questions to ctms for a latest report, by where the answer came from and why: live (found, not_found), cache (from \
         memory: stale) or none (503). breaker_open follows from the others. deadline: slow. unavailable: not there. \
         refused: too much load there. misconfigured: our key is not let in. Normal: live alone.",
    )
    .query(format!("{all} > 0"), "{{source}}: {{reason}}")
    .colour("live: found", Colour::Good)
    .colour("live: not_found", Colour::Fact)
    .colour("/^cache:/", Colour::Waiting)
    .colour("/^none:/", Colour::Failed)
    .stacked()
    .no_value("nobody asked")
    .size(12, 8)
    .traces("Questions that failed", asked().failed())
    .logs("Questions that failed", &[CTMS], &lines("fields_status >= 500"))
}

fn remembered() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Remembered reports",
        "locale",
        "Patients whose latest report ctms could tell without the ePRO service, by instance: APP_EPRO__CACHE_MAX at most \
         (10,000 where nothing else is set); how many had to make room for others; and (right) what they take, of 64 MiB \
         at most (dashed). Normal: grows to a bound and stays there. A restart forgets all. Many make room: the memory is \
         smaller than what is asked for.",
    )
    .query(sum_by("instance", &series(names::CTMS_CACHE_ENTRIES, "")), "{{instance}}: reports")
    .query(sum_by("instance", &increase(names::CTMS_CACHE_EVICTIONS, "")), "{{instance}}: made room")
    .query(sum_by("instance", &series(names::CTMS_CACHE_BYTES, "")), "{{instance}}: memory")
    .limit(MOST_BYTES, "memory at most")
    .right_axis("/memory/", "bytes")
    .colour("/made room$/", Colour::Refused)
    .size(12, 8)
    .traces("Questions", asked())
    .logs("Questions", &[CTMS], &lines("fields_status=200"))
}
