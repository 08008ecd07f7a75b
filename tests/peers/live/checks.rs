//! What every query has to hold to, on live data.
//!
//! With "All" it is answered, and without a value that is not finite. And each of its selectors finds series, so that no
//! `or` hides one that is dead.
//! With a single job, or a job and one of its instances, it is answered in the same way if there is something to
//! answer with: each of its selectors, on its own, finds series of them. A query of ctms' cache is asked of ctms
//! alone.
//! That it names the right labels, and would notice another name, `tests/files/dashboards` proves on what is exported.

use super::prometheus::{Prometheus, RATE_INTERVAL, Series, Window};
use crate::{
    promql,
    read::{self, Choice},
};
use promql_parser::parser::VectorSelector;
use std::{cell::RefCell, collections::HashMap};

/// A query of a dashboard, and where it stands.
#[derive(Clone, Debug)]
pub struct Question {
    pub place: String,
    pub expr: String,
    pub instant: bool,
}

/// All queries of all dashboards that are asked of Prometheus.
pub fn questions() -> Vec<Question> {
    let mut all = Vec::new();
    for board in &read::boards().unwrap() {
        for panel in board.panels() {
            for (number, target) in (1..).zip(panel.targets()) {
                if target.source() == "prometheus" {
                    let place = format!("{} / {} / query {number}", board.uid(), panel.title());
                    let instant = target.0["instant"] == true;
                    all.push(Question { place, expr: target.expr().to_owned(), instant });
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

/// Asks a Prometheus about a scene that is over, and remembers which selectors found something.
pub struct Checker<'a> {
    pub prometheus: &'a Prometheus,
    pub window: Window,
    found: RefCell<HashMap<String, bool>>,
}

impl<'a> Checker<'a> {
    pub fn of(prometheus: &'a Prometheus, window: Window) -> Self {
        Self { prometheus, window, found: RefCell::default() }
    }

    /// What is wrong with the question when this is chosen; `None` too if there is nothing to answer it with.
    pub fn fault(&self, question: &Question, choice: &Choice) -> Option<String> {
        let expr = read::expand(&question.expr, choice);
        let all = choice.job.is_none() && choice.instance.is_none();
        let fault = match self.dead_selector(&expr) {
            Err(fault) => fault,
            Ok(Some(_)) if !all => return None,
            Ok(Some(dead)) => format!("nothing is found by {dead}"),
            Ok(None) => self.answer_fault(&expr, question)?,
        };
        let chosen = |value: &Option<String>| value.clone().unwrap_or_else(|| "All".to_owned());
        let chosen = format!("job {}, instance {}", chosen(&choice.job), chosen(&choice.instance));
        Some(format!("{} ({chosen}): {fault}\n    {expr}", question.place))
    }

    /// The first selector that finds no series at any time.
    pub fn dead_selector(&self, expr: &str) -> Result<Option<String>, String> {
        for selector in promql::selectors(&promql::parse(expr)?) {
            let text = VectorSelector { offset: None, at: None, ..selector.clone() }.to_string();
            if !self.finds(&text)? {
                return Ok(Some(text));
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
        answered.map_or_else(|error| Some(format!("an error: {error}")), |series| series_fault(&series))
    }
}

fn series_fault(series: &[Series]) -> Option<String> {
    if series.is_empty() {
        return Some("no data".to_owned());
    }
    let finite = |value: &str| value.parse::<f64>().is_ok_and(f64::is_finite);
    series.iter().find_map(|one| {
        let wrong = one.values.iter().find(|value| !finite(value))?;
        Some(format!("{wrong} in {:?}", one.labels))
    })
}

#[test]
fn an_answer_without_data_or_with_a_value_that_is_not_finite_is_a_fault() {
    let series = |values: &[&str]| Series {
        labels: [("a".to_owned(), "1".to_owned())].into(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    assert_eq!(series_fault(&[series(&["0", "1.5"])]), None);
    for (answer, told) in
        [(vec![], "no data"), (vec![series(&["1", "NaN"])], "NaN"), (vec![series(&["+Inf"])], "+Inf")]
    {
        let fault = series_fault(&answer).unwrap_or_default();
        assert!(fault.contains(told), "{fault}");
    }
}
