//! Telemetry about itself: a span or a line that is lost is at least counted.

use crate::{
    links::Traces,
    names,
    palette::Colour,
    panel::{Kind, Panel},
    query::{increase, rate, series, share_or_zero, sum_by},
    services::SERVICES,
};

const LOST_SPANS: &str = r#"outcome=~"failed|dropped""#;
const DROPPED: &str = r#"outcome="dropped""#;
const LINES_OF_EXPORT: &str = r#"| json | message=~"spans.*export.*""#;

pub fn panels() -> Vec<Panel> {
    vec![lost_spans(), lost_lines(), unaccounted(), late_parents(), spans(), queued(), lines()]
}

fn stat(title: &str, unit: &'static str, description: &str) -> Panel {
    Panel::new(Kind::Stat, title, unit, description)
        .logs("Lines of the export", SERVICES, LINES_OF_EXPORT)
        .size(6, 4)
}

fn lost_spans() -> Panel {
    stat(
        "Spans lost",
        "percentunit",
        "The share of ended spans that did not reach the collector. Normal: 0. All: the collector is away or refuses (the line says \
         which); some: more than it takes.",
    )
    .query(
        share_or_zero(&sum_by("", &rate(names::SPANS, LOST_SPANS)), &sum_by("", &rate(names::SPANS, ""))),
        "lost",
    )
    .warn_from(0.001)
    .bad_from(0.05)
    .range(Some(0.0), Some(1.0))
    .decimals(1)
}

fn lost_lines() -> Panel {
    stat(
        "Log lines lost",
        "percentunit",
        "The share of log lines that were dropped since stdout did not take them. Normal: 0. Who reads stdout is stuck or too slow; the \
         service does not wait for it.",
    )
    .query(
        share_or_zero(&sum_by("", &rate(names::LOG_LINES, DROPPED)), &sum_by("", &rate(names::LOG_LINES, ""))),
        "lost",
    )
    .bad_from(0.000_001)
    .range(Some(0.0), Some(1.0))
    .decimals(1)
}

fn unaccounted() -> Panel {
    let ended = sum_by("", &increase(names::SPANS_ENDED, ""));
    let told = sum_by("", &increase(names::SPANS, ""));
    let queued = sum_by("", &format!("delta({}[$__rate_interval])", series(names::SPANS_QUEUED, "")));
    stat(
        "Spans unaccounted for",
        "none",
        "Spans that ended in the interval, less those that were exported, failed or dropped, less the growth of the queue. Always 0, but around \
         a start, where rates are estimates. Otherwise the account is broken: a defect.",
    )
    .query(format!("round({ended} - {told} - {queued})"), "unaccounted")
    .range(None, None)
    .decimals(0)
}

fn late_parents() -> Panel {
    stat(
        "Spans that lost their trace",
        "none",
        "Spans in the interval that began before their parent was set, so that their trace is torn. Always 0: any is a defect.",
    )
    .query(sum_by("", &increase(names::LATE_PARENTS, "")), "late")
    .bad_from(0.5)
    .decimals(0)
}

fn spans() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Spans",
        "ops",
        "Spans a second by what became of them, and how many ended (dashed): both agree but for those on their way. Normal: all exported. Red \
         is lost for traces; metrics and lines are not affected.",
    )
    .query(sum_by("outcome", &rate(names::SPANS, "")), "{{outcome}}")
    .query(sum_by("", &rate(names::SPANS_ENDED, "")), "ended")
    .limit_lines("ended", Colour::Unconcerned)
    .stacked()
    .logs("Lines of the export", SERVICES, LINES_OF_EXPORT)
    .traces_of_each("Traces", |traces: Traces| traces)
}

fn queued() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Spans on their way",
        "none",
        "Ended spans that wait for the collector, by instance. Normal: what ends within a fifth of a second. At its bound of bytes further ones \
         are dropped and counted; nobody waits for it.",
    )
    .query(sum_by("job, instance", &series(names::SPANS_QUEUED, "")), "{{job}} {{instance}}")
    .decimals(0)
    .logs("Lines of the export", SERVICES, LINES_OF_EXPORT)
}

fn lines() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Log lines",
        "ops",
        "Log lines a second that were written, or dropped since stdout did not take them. Normal: a line or two for each request. None while \
         requests come: RUST_LOG was changed (PUT /log-filter).",
    )
    .query(sum_by("outcome", &rate(names::LOG_LINES, "")), "{{outcome}}")
    .stacked()
    .logs("All lines", SERVICES, "| json")
}
