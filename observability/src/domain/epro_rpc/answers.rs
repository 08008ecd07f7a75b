//! What callers of the second service get, what it remembers for that, and previews.

use super::{CTMS, asked};
use crate::{
    links::Traces,
    names,
    palette::Colour,
    panel::{Kind, Panel},
    query::{increase, quantile, rate, series, sum_by},
    services::SERVICE,
};

/// What remembered reports may take at most (`src/ctms/cache.rs`).
const MOST_BYTES: f64 = 64.0 * 1024.0 * 1024.0;

pub fn panels() -> Vec<Panel> {
    vec![answers(), entries(), bytes()]
}

pub fn previews() -> Vec<Panel> {
    vec![drawing(), drawn()]
}

/// Lines of questions that came to this.
fn lines(filter: &str) -> String {
    format!(r#"| json | fields_route=~".*latest-report" | {filter}"#)
}

fn answers() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Answers by reason",
        "reqps",
        "Questions to ctms for a latest report, by where the answer came from and why: live (found, not_found), cache (from \
         memory: stale) or none (503). breaker_open follows from the others. deadline: slow. unavailable: not there. \
         refused: too much load there. misconfigured: our key is not let in. Normal: live alone.",
    )
    .query(sum_by("source, reason", &rate(names::CTMS_REPORT_ANSWERS, "")), "{{source}}: {{reason}}")
    .colour("live: found", Colour::Good)
    .colour("live: not_found", Colour::Fact)
    .colour("/^cache:/", Colour::Waiting)
    .colour("/^none:/", Colour::Failed)
    .stacked()
    .size(12, 8)
    .traces("Questions that failed", asked().failed())
    .logs("Questions that failed", &[CTMS], &lines("fields_status >= 500"))
}

fn entries() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Remembered reports",
        "short",
        "Patients whose latest report ctms could tell without the ePRO service, over all its instances, and how many had to \
         make room for others. Normal: grows until APP_EPRO__CACHE_MAX (10,000 where nothing else is set) for each \
         instance. A restart forgets all. Many make room: the memory is smaller than what is asked for.",
    )
    .query(sum_by("", &series(names::CTMS_CACHE_ENTRIES, "")), "remembered")
    .query(sum_by("", &increase(names::CTMS_CACHE_EVICTIONS, "")), "made room")
    .colour("made room", Colour::Refused)
    .size(6, 8)
    .traces("Questions", asked())
    .logs("Questions", &[CTMS], &lines("fields_status=200"))
}

fn bytes() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Memory of remembered reports",
        "bytes",
        "What they take, by instance. Normal: below 64 MiB (dashed), from where on those that were asked for longest \
         ago make room.",
    )
    .query(sum_by("instance", &series(names::CTMS_CACHE_BYTES, "")), "{{instance}}")
    .warn_from(MOST_BYTES)
    .size(6, 8)
    .traces("Questions", asked())
    .logs("Questions", &[CTMS], &lines("fields_status=200"))
}

fn traces() -> Traces {
    Traces::of(SERVICE).operation("GET /api/v1/reports/{reportId}/preview.pdf")
}

fn drawing() -> Panel {
    let of = |q| quantile(q, "", names::REPORT_PREVIEW_DURATION, "");
    Panel::new(
        Kind::TimeSeries,
        "Drawing a preview",
        "s",
        "How long drawing a report as PDF takes, without the wait for a place. Normal: milliseconds for a page; long \
         reports take longer.",
    )
    .latency(of(0.99), "P99")
    .query(of(0.95), "P95")
    .query(of(0.5), "P50")
    .size(12, 8)
    .traces("Slow previews", traces().at_least("100ms"))
    .logs("Previews", &[SERVICE], r#"| json | fields_route=~".*preview.pdf""#)
}

fn drawn() -> Panel {
    let count = format!("{}_count", names::REPORT_PREVIEW_DURATION);
    Panel::new(
        Kind::TimeSeries,
        "Previews drawn and shed",
        "reqps",
        "Previews a second that were drawn, and that were refused with 503, since they are the first to go when there is \
         too much to do or all places for drawing are taken. Normal: none shed.",
    )
    .query(sum_by("", &rate(&count, "")), "drawn")
    .query(sum_by("", &rate(names::LOAD_SHED, r#"feature="report_preview""#)), "shed")
    .colour("drawn", Colour::Good)
    .colour("shed", Colour::Refused)
    .stacked()
    .size(12, 8)
    .traces("Previews that failed", traces().failed())
    .logs("Previews", &[SERVICE], r#"| json | fields_route=~".*preview.pdf""#)
    .dashboard("Limits and resilience", "limits-resilience")
}
