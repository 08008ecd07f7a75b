//! The mutation test of the dashboards: had any metric or any of its labels another name, a query would fail.
//!
//! Nothing is played again for it. What a query would have been answered under the other name is asked of what
//! is stored, by a query that is rewritten for it (`promql::renamed`).

use super::{
    checks::{Checker, Question},
    prometheus::Labels,
    promql::{self, Renamed},
};
use crate::read::{self, Choice};
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

/// Those that neither a query of a dashboard nor a selector of a rule would notice.
pub fn unnoticed(
    checker: &Checker<'_>,
    questions: &[Question],
    rules: &[String],
    choice: &Choice,
    all: &BTreeSet<Renamed>,
) -> Vec<String> {
    let asked: Vec<Asked<'_>> = questions.iter().map(|question| Asked::of(question, choice)).collect();
    let unnoticed = all
        .iter()
        .filter(|renamed| !is_noticed(checker, &asked, renamed) && !kills_a_rule(checker, rules, renamed));
    unnoticed
        .map(|renamed| match &renamed.label {
            Some(label) => format!("label {label} of {}", renamed.metric),
            None => format!("metric {}", renamed.metric),
        })
        .collect()
}

/// Whether a selector of a rule would find nothing that finds something. What a rule is answered says nothing: no
/// alert is wanted.
fn kills_a_rule(checker: &Checker<'_>, rules: &[String], renamed: &Renamed) -> bool {
    let naming = rules.iter().filter(|rule| rule.contains(&renamed.metric));
    naming
        .filter_map(|rule| promql::renamed(rule, renamed).ok())
        .any(|other| matches!(checker.dead_selector(&other), Ok(Some(_))))
}

/// A question with its choice made, and the metrics that it names.
struct Asked<'a> {
    question: &'a Question,
    expr: String,
    metrics: BTreeSet<String>,
}

impl<'a> Asked<'a> {
    fn of(question: &'a Question, choice: &Choice) -> Self {
        let expr = read::expand(&question.expr, choice);
        let selectors = promql::selectors(&expr).unwrap_or_default();
        let metrics = selectors.iter().map(|selector| promql::family(&selector.name).to_owned()).collect();
        Self { question, expr, metrics }
    }
}

fn is_noticed(checker: &Checker<'_>, asked: &[Asked<'_>], renamed: &Renamed) -> bool {
    asked.iter().filter(|asked| asked.metrics.contains(&renamed.metric)).any(|asked| {
        let other = promql::renamed(&asked.expr, renamed);
        other.is_ok_and(|other| checker.fails(&other, asked.question))
    })
}
