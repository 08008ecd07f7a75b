//! The mutation test of the dashboards: had any metric or any of its labels another name, a query would fail.
//!
//! Nothing is played again for it. What a query would have been answered under the other name is asked of what
//! is stored, by a query that is rewritten for it (`promql::renamed`); that this is the same is held against one
//! job that Prometheus really renames while it scrapes.

use super::{
    checks::{Checker, Question},
    prometheus::Labels,
    promql::{self, Renamed},
};
use observability::read::{self, Choice};
use std::collections::BTreeSet;

/// Not ours: Prometheus', and those of the usual collectors.
const FOREIGN: [&str; 5] = ["process_", "tokio_", "scrape_", "up", "slo:"];
/// Told by Prometheus, not by a service.
const OF_THE_SCRAPE: [&str; 3] = ["__name__", "job", "instance"];

/// Every metric of ours that was scraped, and each of its labels.
pub fn of(series: &[Labels]) -> BTreeSet<Renamed> {
    let mut all = BTreeSet::new();
    for labels in series {
        let Some(name) = labels.get("__name__") else { continue };
        if FOREIGN.iter().any(|foreign| name.starts_with(foreign)) || name.starts_with("ALERTS") {
            continue;
        }
        let metric = promql::family(name).to_owned();
        all.insert(Renamed { metric: metric.clone(), label: None });
        let of_ours = labels.keys().filter(|label| !OF_THE_SCRAPE.contains(&label.as_str()));
        all.extend(of_ours.map(|label| Renamed { metric: metric.clone(), label: Some(label.clone()) }));
    }
    all
}

/// Those that no query would notice.
pub fn unnoticed(
    checker: &Checker<'_>,
    questions: &[Question],
    choice: &Choice,
    all: &BTreeSet<Renamed>,
) -> Vec<String> {
    let asked: Vec<(&Question, String)> =
        questions.iter().map(|question| (question, read::expand(&question.expr, choice))).collect();
    let unnoticed = all.iter().filter(|renamed| !is_noticed(checker, &asked, renamed));
    unnoticed
        .map(|renamed| match &renamed.label {
            Some(label) => format!("label {label} of {}", renamed.metric),
            None => format!("metric {}", renamed.metric),
        })
        .collect()
}

fn is_noticed(checker: &Checker<'_>, asked: &[(&Question, String)], renamed: &Renamed) -> bool {
    asked.iter().filter(|(_, expr)| names(expr, &renamed.metric)).any(|(question, expr)| {
        let other = promql::renamed(expr, renamed);
        other.is_ok_and(|other| checker.fails(&other, question))
    })
}

fn names(expr: &str, metric: &str) -> bool {
    let selectors = promql::selectors(expr).unwrap_or_default();
    selectors.iter().any(|selector| promql::family(&selector.name) == metric)
}
