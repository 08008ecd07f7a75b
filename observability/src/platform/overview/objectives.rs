//! What was promised, what is left of it, and which alerts fire. Recorded series carry neither `job` nor
//! `instance`: an objective is the service's, not an instance's.

use crate::{
    links::{Traces, page},
    palette::Colour,
    panel::{Kind, Panel},
    services::SERVICE,
    site,
};

/// Burn rates from which the alerts page: over an hour, and over six.
const PAGE_FAST: f64 = 14.4;
const PAGE_SLOW: f64 = 6.0;

pub fn panels() -> Vec<Panel> {
    vec![budget_left(), burn_rate(), failing_share(), alerts()]
}

fn budget_left() -> Panel {
    Panel::new(
        Kind::BarGauge,
        "Error budget left",
        "percentunit",
        "What is left of what each objective allows to fail in 30 days. Normal: above a quarter. At 0 the promise is \
         broken: stop releasing and look at the burn rate for when it was spent.",
    )
    .query("max by (sloth_slo) (slo:period_error_budget_remaining:ratio)".to_owned(), "{{sloth_slo}}")
    .bad_below(0.0)
    .warn_below(0.25)
    .range(Some(0.0), Some(1.0))
    .decimals(1)
    .size(6, 9)
    .no_value("No objective is recorded: are the rules loaded?")
    .traces("Failed traces", Traces::of(SERVICE).failed())
    .dashboard("Notifications", "notifications")
}

fn burn_rate() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Burn rate",
        "none",
        "How many times faster than allowed each error budget is spent, over 5 minutes. Normal: below 1. At 14.4 a day's \
         budget of a month lasts two hours; the dashed lines are where alerts begin to page. The failures themselves are below.",
    )
    .query("max by (sloth_slo) (slo:current_burn_rate:ratio)".to_owned(), "{{sloth_slo}}")
    .warn_from(PAGE_SLOW)
    .bad_from(PAGE_FAST)
    .axis_to(PAGE_FAST + 1.0)
    .decimals(1)
    .size(6, 9)
    .traces("Failed traces", Traces::of(SERVICE).failed())
    .logs("Lines of failed requests", &[SERVICE], "| json | fields_status >= 500")
}

fn failing_share() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Failing share",
        "percentunit",
        "The share of events that fail their objective, over an hour, and what is allowed (dashed). Normal: below its dashed \
         line. The row below tells which route and answer.",
    )
    .query("max by (sloth_slo) (slo:sli_error:ratio_rate1h)".to_owned(), "{{sloth_slo}}")
    .query("max by (sloth_slo) (1 - slo:objective:ratio)".to_owned(), "{{sloth_slo}} allowed")
    .limit_lines("/ allowed$/", Colour::Unconcerned)
    .size(6, 9)
    .traces("Failed traces", Traces::of(SERVICE).failed())
    .logs("Lines of failed requests", &[SERVICE], "| json | fields_status >= 500")
}

fn alerts() -> Panel {
    Panel::new(
        Kind::Table,
        "Alerts that fire",
        "none",
        "What Prometheus alerts on at the end of the time range; pages first. Normal: empty. Each alert's message leads to its \
         runbook and panel.",
    )
    .query(r#"sort_desc(count by (severity, alertname) (ALERTS{alertstate="firing"}))"#.to_owned(), "")
    .order(&["alertname", "severity", "Value"])
    .column("alertname", "Alert")
    .column("severity", "Severity")
    .column("Value", "Firing")
    .no_value("No alert fires")
    .link(page("Runbooks", site::RUNBOOKS))
    .logs("Lines that warn", &[SERVICE], r#"| json | level=~"WARN|ERROR""#)
    .traces("Failed traces", Traces::of(SERVICE).failed())
    .size(6, 9)
}
