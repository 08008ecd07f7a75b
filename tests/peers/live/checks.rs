//! What every query has to hold to, on live data.
//!
//! With "All" it is answered, with every label that its legend names (each on some series, as a zero in place of
//! nothing has fewer, and at least one of them on each), and without a value that is not finite. Each label that one
//! of its aggregations groups by, also inside another one, is on some series of that aggregation: grouping by a label
//! that is not there would add up what has to be kept apart. And each of its selectors finds series, so that no `or`
//! hides one that is dead.
//! With a single job, or a job and one of its instances, it is answered in the same way if there is something to
//! answer with: each of its selectors, on its own, finds series of them. A query of ctms' cache is asked of ctms
//! alone.

use super::{
    prometheus::{Prometheus, RATE_INTERVAL, Series, Window},
    promql::{self, Selector},
};
use crate::read::{self, Choice};
use std::{cell::RefCell, collections::HashMap};

/// A query of a dashboard, and where it stands.
#[derive(Clone, Debug)]
pub struct Question {
    pub place: String,
    pub expr: String,
    pub legend: String,
    pub instant: bool,
}

/// All queries of all dashboards that are asked of Prometheus.
pub fn questions() -> Vec<Question> {
    let boards = read::boards().unwrap();
    let mut all = Vec::new();
    for board in &boards {
        for panel in board.panels() {
            for (number, target) in panel.targets().into_iter().enumerate() {
                if target.source() == "prometheus" {
                    all.push(Question {
                        place: format!("{} / {} / query {}", board.uid(), panel.title(), number + 1),
                        expr: target.expr().to_owned(),
                        legend: target.legend().to_owned(),
                        instant: target.0["instant"] == true,
                    });
                }
            }
        }
    }
    all
}

/// What may be chosen: all, each job, and each of its instances.
pub fn choices(members: &[(&str, &str)], window: Window) -> Vec<Choice> {
    let choice = |job: Option<&str>, instance: Option<&str>| Choice {
        job: job.map(str::to_owned),
        instance: instance.map(str::to_owned),
        rate_interval: RATE_INTERVAL.to_owned(),
        range: format!("{}s", window.to - window.from),
    };
    let mut jobs: Vec<&str> = members.iter().map(|(job, _)| *job).collect();
    jobs.dedup();
    let of_jobs = jobs.into_iter().map(|job| choice(Some(job), None));
    let of_instances = members.iter().map(|(job, instance)| choice(Some(job), Some(instance)));
    std::iter::once(choice(None, None)).chain(of_jobs).chain(of_instances).collect()
}

/// Asks a Prometheus about a scene that is over, and remembers which selectors found something, and which label an
/// aggregation lacks.
pub struct Checker<'a> {
    pub prometheus: &'a Prometheus,
    pub window: Window,
    found: RefCell<HashMap<String, bool>>,
    lacking: RefCell<HashMap<String, Option<String>>>,
}

impl<'a> Checker<'a> {
    pub fn of(prometheus: &'a Prometheus, window: Window) -> Self {
        Self { prometheus, window, found: RefCell::default(), lacking: RefCell::default() }
    }

    /// What is wrong with the question when this is chosen; `None` too if there is nothing to answer it with.
    pub fn fault(&self, question: &Question, choice: &Choice) -> Option<String> {
        let expr = read::expand(&question.expr, choice);
        let all = choice.job.is_none() && choice.instance.is_none();
        let fault = match self.dead_selector(&expr) {
            Err(fault) => fault,
            Ok(Some(_)) if !all => return None,
            Ok(Some(dead)) => format!("nothing is found by {}", dead.text),
            Ok(None) => self.answer_fault(&expr, question)?,
        };
        let chosen = |value: &Option<String>| value.clone().unwrap_or_else(|| "All".to_owned());
        let chosen = format!("job {}, instance {}", chosen(&choice.job), chosen(&choice.instance));
        Some(format!("{} ({chosen}): {fault}\n    {expr}", question.place))
    }

    /// Whether the expanded query fails, or does not tell what it has to.
    pub fn fails(&self, expr: &str, question: &Question) -> bool {
        !matches!(self.dead_selector(expr), Ok(None)) || self.answer_fault(expr, question).is_some()
    }

    /// The first selector that finds no series at any time.
    pub fn dead_selector(&self, expr: &str) -> Result<Option<Selector>, String> {
        for selector in promql::selectors(expr)? {
            if !self.finds(&selector.text)? {
                return Ok(Some(selector));
            }
        }
        Ok(None)
    }

    fn finds(&self, selector: &str) -> Result<bool, String> {
        if let Some(known) = self.found.borrow().get(selector) {
            return Ok(*known);
        }
        let found = !self.prometheus.series(selector, self.window)?.is_empty();
        self.found.borrow_mut().insert(selector.to_owned(), found);
        Ok(found)
    }

    fn answer_fault(&self, expr: &str, question: &Question) -> Option<String> {
        let answered = match question.instant {
            true => self.prometheus.instant(expr, self.window.to),
            false => self.prometheus.range(expr, self.window),
        };
        let fault = match answered {
            Err(error) => Some(format!("an error: {error}")),
            Ok(series) => series_fault(&series, &question.legend),
        };
        fault.or_else(|| promql::groups(expr).ok()?.iter().find_map(|(text, by)| self.group_fault(text, by)))
    }

    /// A label that the aggregation groups by, and that none of its series has.
    fn group_fault(&self, aggregation: &str, by: &[String]) -> Option<String> {
        if let Some(known) = self.lacking.borrow().get(aggregation) {
            return known.clone();
        }
        let fault = match self.prometheus.range(aggregation, self.window) {
            Err(error) => Some(format!("an error: {error}")),
            Ok(series) => {
                let mut lost = by.iter().filter(|label| !series.iter().any(|one| has(one, label)));
                lost.next()
                    .filter(|_| !series.is_empty())
                    .map(|label| format!("{aggregation} is grouped by {label}, which no series has"))
            }
        };
        self.lacking.borrow_mut().insert(aggregation.to_owned(), fault.clone());
        fault
    }
}

fn has(series: &Series, label: &str) -> bool {
    series.labels.get(label).is_some_and(|value| !value.is_empty())
}

fn series_fault(series: &[Series], legend: &str) -> Option<String> {
    if series.is_empty() {
        return Some("no data".to_owned());
    }
    let named = legend.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
    let named: Vec<&str> = named.map(|(label, _)| label.trim()).collect();
    if let Some(label) = named.iter().find(|label| !series.iter().any(|one| has(one, label))) {
        return Some(format!("its legend names {label}, which no series has"));
    }
    let nameless = |one: &&Series| !named.is_empty() && !named.iter().any(|label| has(one, label));
    if let Some(nameless) = series.iter().find(nameless) {
        return Some(format!("its legend names nothing that {:?} has", nameless.labels));
    }
    let finite = |value: &str| value.parse::<f64>().is_ok_and(f64::is_finite);
    series.iter().find_map(|one| {
        let wrong = one.values.iter().find(|value| !finite(value))?;
        Some(format!("{wrong} in {:?}", one.labels))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::prometheus::Labels;

    fn series(labels: &[(&str, &str)], values: &[&str]) -> Series {
        let labels: Labels = labels.iter().map(|(label, value)| ((*label).into(), (*value).into())).collect();
        Series { labels, values: values.iter().map(|value| (*value).to_owned()).collect() }
    }

    #[test]
    fn an_answer_without_data_without_a_label_or_with_a_value_that_is_not_finite_is_a_fault() {
        let fine = [series(&[("a", "1")], &["0", "1.5"])];
        assert_eq!(series_fault(&fine, "{{a}} of {{ a }}"), None);
        for (answer, legend, told) in [
            (vec![], "", "no data"),
            (fine.to_vec(), "{{b}}", "its legend names b"),
            (vec![series(&[], &["1", "NaN"])], "", "NaN"),
            (vec![series(&[], &["+Inf"])], "", "+Inf"),
            (vec![fine[0].clone(), series(&[], &["0"])], "{{a}}", "nothing that {} has"),
        ] {
            let fault = series_fault(&answer, legend).unwrap_or_default();
            assert!(fault.contains(told), "{fault}");
        }
    }
}
