//! The checks of names are shown to bite: each metric, each label and each value that a query names is
//! taken away in turn.

use super::{
    Exported, Metric,
    judge::{lacks, parsed, unused},
    ours,
    queries::{Rule, looked_at, rules},
};
use crate::promql;
use promql_parser::{
    label::MatchOp,
    parser::{Expr, LabelModifier},
};

/// What is there to be changed, and who asks for it.
struct Scene {
    metrics: Vec<Metric>,
    rules: Vec<Rule>,
    queries: Vec<Expr>,
}

impl Scene {
    fn read() -> Self {
        Self { metrics: ours(), rules: rules(), queries: parsed(&looked_at()) }
    }

    /// What is exported once one metric is changed.
    fn changed(&self, at: usize, change: impl FnOnce(&mut Metric)) -> Exported {
        let mut metrics = self.metrics.clone();
        change(&mut metrics[at]);
        Exported::of(&metrics, &self.rules)
    }

    /// The queries of which each selector, or at least one, asks for this metric.
    fn about(&self, at: usize, alone: bool) -> Vec<&Expr> {
        let series: Vec<String> = self.metrics[at].series().into_iter().map(|(name, _)| name).collect();
        let is_about = |expr: &&Expr| {
            let selectors = promql::selectors(expr);
            let of_it =
                selectors.iter().filter(|selector| series.iter().any(|name| name == promql::name(selector)));
            let count = of_it.count();
            count > 0 && (!alone || count == selectors.len())
        };
        self.queries.iter().filter(is_about).collect()
    }
}

/// Whether a query names this label where it selects, or where it groups or matches.
fn names_label(expr: &Expr, label: &str) -> bool {
    promql::nodes(expr).into_iter().any(|(node, _)| {
        let modifier = match node {
            Expr::Aggregate(aggregate) => aggregate.modifier.as_ref(),
            Expr::Binary(binary) => binary.modifier.as_ref().and_then(|modifier| modifier.matching.as_ref()),
            _ => None,
        };
        let grouped = match modifier {
            Some(LabelModifier::Include(labels) | LabelModifier::Exclude(labels)) => {
                labels.labels.iter().any(|found| found == label)
            }
            None => false,
        };
        let selected = promql::selector(node).into_iter().flat_map(promql::matchers);
        grouped || selected.into_iter().any(|matcher| matcher.name == label)
    })
}

#[test]
fn renaming_any_metric_is_found() {
    let scene = Scene::read();
    for (at, metric) in scene.metrics.iter().enumerate() {
        let renamed = format!("{}_renamed", metric.name);
        let exported = scene.changed(at, |metric| metric.name.clone_from(&renamed));
        let about = scene.about(at, false);
        assert!(!about.is_empty(), "no query names {}", metric.name);
        for query in about {
            assert!(!lacks(query, &exported).is_empty(), "without {} passes: {query}", metric.name);
        }
        assert!(unused(&scene.queries, &exported).contains(&renamed), "{renamed} counts as looked at");
    }
}

#[test]
fn renaming_any_label_that_a_query_uses_is_found() {
    let scene = Scene::read();
    let mut found = 0;
    for (at, metric) in scene.metrics.iter().enumerate() {
        for label in metric.labels.keys() {
            let exported = scene.changed(at, |metric| {
                let values = metric.labels.remove(label).unwrap();
                metric.labels.insert(format!("{label}_renamed"), values);
            });
            for query in scene.about(at, true).into_iter().filter(|query| names_label(query, label)) {
                assert!(!lacks(query, &exported).is_empty(), "without {label} passes: {query}");
                found += 1;
            }
        }
    }
    assert!(found > 50, "only {found} uses of labels");
}

#[test]
fn taking_away_any_value_that_a_query_names_is_found() {
    let scene = Scene::read();
    let mut found = 0;
    for (at, metric) in scene.metrics.iter().enumerate() {
        for query in scene.about(at, true) {
            for matcher in promql::selectors(query).into_iter().flat_map(promql::matchers) {
                let named = matches!(matcher.op, MatchOp::Equal | MatchOp::NotEqual);
                let Some(Some(_)) = metric.labels.get(&matcher.name).filter(|_| named) else { continue };
                let exported = scene.changed(at, |metric| {
                    let values = metric.labels.get_mut(&matcher.name).and_then(Option::as_mut).unwrap();
                    values.remove(&matcher.value);
                });
                assert!(!lacks(query, &exported).is_empty(), "without {matcher} passes: {query}");
                found += 1;
            }
        }
    }
    assert!(found > 10, "only {found} uses of values");
}
