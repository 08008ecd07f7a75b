//! Whether queries name what is there, and whether all that is there is looked at.

use super::{
    Exported, Labels, catalogue,
    queries::{Query, looked_at, others},
};
use crate::{nothing, promql, query};
use chassis_telemetry::catalogue::Unit;
use promql_parser::{
    label::{MatchOp, Matcher},
    parser::{AggregateExpr, Expr, LabelModifier, VectorSelector},
};
use std::collections::BTreeSet;

#[test]
fn every_query_names_what_is_exported() {
    let exported = Exported::read();
    let queries = looked_at().into_iter().chain(others());
    nothing(&queries.flat_map(|query| faults_in(&query, &exported)).collect::<Vec<_>>());
}

#[test]
fn every_metric_of_ours_is_looked_at_by_a_dashboard_or_a_rule() {
    assert_eq!(unused(&parsed(&looked_at()), &Exported::read()), BTreeSet::new());
}

/// Metrics of ours that none of these queries asks for.
pub fn unused(queries: &[Expr], exported: &Exported) -> BTreeSet<String> {
    let mut unused: BTreeSet<String> = exported.family.values().cloned().collect();
    for selector in queries.iter().flat_map(promql::selectors) {
        if let Some(metric) = exported.family.get(promql::name(selector)) {
            unused.remove(metric);
        }
    }
    unused
}

/// The queries that can be read; that all can is another test's.
pub fn parsed(queries: &[Query]) -> Vec<Expr> {
    queries.iter().filter_map(|query| promql::parse(&query.text).ok()).collect()
}

fn faults_in(query: &Query, exported: &Exported) -> Vec<String> {
    let faults = faults(&query.text, exported);
    faults.into_iter().map(|fault| format!("{}: {fault}: {}", query.place, query.text)).collect()
}

fn faults(text: &str, exported: &Exported) -> Vec<String> {
    promql::parse(text).map_or_else(|why| vec![why], |expr| lacks(&expr, exported))
}

/// What a query names that is not there.
pub fn lacks(expr: &Expr, exported: &Exported) -> Vec<String> {
    promql::nodes(expr).into_iter().flat_map(|(node, _)| of_node(node, exported)).collect()
}

fn of_node(node: &Expr, exported: &Exported) -> Vec<String> {
    match node {
        Expr::Aggregate(aggregate) => {
            let inner = query::kept(&aggregate.expr, exported);
            lost(aggregate.modifier.as_ref(), &inner)
        }
        Expr::Binary(binary) => {
            let matching = binary.modifier.as_ref().and_then(|modifier| modifier.matching.as_ref());
            let sides = [&binary.lhs, &binary.rhs].map(|side| query::kept(side, exported));
            sides.iter().flat_map(|side| lost(matching, side)).collect()
        }
        _ => promql::selector(node).map(|selector| of_selector(selector, exported)).unwrap_or_default(),
    }
}

/// Labels by which is grouped or matched, and that are not there.
fn lost(modifier: Option<&LabelModifier>, labels: &query::Labels) -> Vec<String> {
    let Some(LabelModifier::Include(wanted) | LabelModifier::Exclude(wanted)) = modifier else {
        return Vec::new();
    };
    let lost = wanted.labels.iter().filter(|label| !labels.contains(*label));
    lost.map(|label| format!("{label} is no label of {labels:?}")).collect()
}

fn of_selector(selector: &VectorSelector, exported: &Exported) -> Vec<String> {
    let name = promql::name(selector);
    let Some(labels) = exported.known(name) else { return vec![format!("nobody exports {name:?}")] };
    promql::matchers(selector).filter_map(|matcher| of_matcher(matcher, name, labels)).collect()
}

fn of_matcher(matcher: &Matcher, name: &str, labels: &Labels) -> Option<String> {
    let Some(listed) = labels.get(&matcher.name) else {
        return Some(format!("{name} has no label {}", matcher.name));
    };
    let listed = listed.as_ref()?;
    let is_there = |alternative: &Matcher| listed.iter().any(|value| alternative.is_match(value));
    let bad = alternatives(matcher).into_iter().find(|alternative| !is_there(alternative))?;
    Some(format!("{name}: {} is never {:?}", matcher.name, bad.value))
}

/// What a matcher looks for or looks away from, one by one.
fn alternatives(matcher: &Matcher) -> Vec<Matcher> {
    let value = matcher.value.as_str();
    let equal = |value: &str| Matcher::new(MatchOp::Equal, &matcher.name, value);
    match &matcher.op {
        MatchOp::Equal | MatchOp::NotEqual => vec![equal(value)],
        MatchOp::Re(_) | MatchOp::NotRe(_) => {
            let parts: Vec<&str> = if value.contains('(') { vec![value] } else { value.split('|').collect() };
            parts.into_iter().filter_map(|part| regex(&matcher.name, part)).collect()
        }
    }
}

/// A matcher by this expression: PromQL's own parser makes it.
fn regex(label: &str, value: &str) -> Option<Matcher> {
    let quoted = value.replace('\\', r"\\").replace('"', "\\\"");
    let expr = promql::parse(&format!("x{{{label}=~\"{quoted}\"}}")).ok()?;
    promql::selectors(&expr).first().and_then(|selector| promql::matchers(selector).next().cloned())
}

#[test]
fn what_is_not_exported_is_told_from_what_is() {
    let exported = Exported::read();
    let good = [
        r#"sum by (outcome) (rate(telemetry_spans_total{job="a",outcome=~"failed|dropped"}[5m]))"#,
        r#"rate(http_request_duration_seconds_bucket{le="0.1",status=~"5..",status!="503"}[5m])"#,
        r#"rate(queue_commit_duration_seconds_bucket{le=~"1(\\.0)?"}[5m])"#,
        r#"max(process_open_fds{job="a"}) + up + scrape_duration_seconds"#,
        r#"ALERTS{alertstate="firing"}"#,
        "store_up * on (job, instance) group_left (version) build_info",
    ];
    for query in good {
        assert_eq!(faults(query, &exported), [""; 0], "{query}");
    }
    let bad = [
        "telemetry_spans",
        "http_request_duration_seconds",
        "queue_jobs_bucket",
        r#"slo:sli_error:ratio_rate7m"#,
        r#"queue_jobs{outcome="dead"}"#,
        r#"queue_jobs{state="raedy"}"#,
        r#"queue_jobs{state=~"ready|runing"}"#,
        r#"queue_jobs{state!="gone"}"#,
        r#"rate(http_request_duration_seconds_bucket{le="0.2"}[5m])"#,
        r#"rate(http_request_duration_seconds_count{status=~"6.."}[5m])"#,
        "sum by (source) (queue_jobs)",
        "sum without (source) (queue_jobs)",
        "store_up * on (version) build_info",
        "sum(queue_jobs",
    ];
    for query in bad {
        assert!(!faults(query, &exported).is_empty(), "{query}");
    }
}

#[test]
fn no_replica_of_a_store_counts_twice_and_no_store_hides_another() {
    let miscounting = looked_at().into_iter().filter(|query| miscounts(&query.text));
    nothing(&miscounting.map(|query| format!("{}: {}", query.place, query.text)).collect::<Vec<_>>());
    for good in [
        "sum by (state) (max by (store, state) (queue_jobs))",
        "max by (store) (min_over_time(queue_jobs[5m])) > 0",
        "max by (priority) (queue_oldest_job_age_seconds)",
        "max by (store) (abs(sum by (store, instance) (queue_jobs)))",
        "max without (job, instance) (queue_jobs)",
    ] {
        assert!(!miscounts(good), "{good}");
    }
    for bad in [
        "queue_jobs > 0",
        "sum by (state) (queue_jobs)",
        "max by (state) (queue_jobs)",
        "sum by (store) (max_over_time(queue_jobs[5m]))",
        "sum(sum by (store, instance) (queue_jobs))",
        "sum by (priority) (queue_oldest_job_age_seconds)",
        "sum without (instance) (queue_jobs)",
    ] {
        assert!(miscounts(bad), "{bad}");
    }
}

/// Whether a store-wide gauge loses its instance other than by `max`, or its store with it. Of ages, the maximum of all stores
/// is the oldest.
fn miscounts(query: &str) -> bool {
    let Ok(expr) = promql::parse(query) else { return false };
    promql::nodes(&expr).into_iter().any(|(node, above)| {
        let name = promql::selector(node).map(promql::name);
        let Some(metric) = catalogue().find(|metric| metric.store_wide && Some(metric.name) == name) else {
            return false;
        };
        let mut aggregates = above.iter().rev().filter_map(|node| match node {
            Expr::Aggregate(aggregate) => Some(aggregate),
            _ => None,
        });
        let merges = aggregates.find(|aggregate| !keeps(aggregate, "instance"));
        !merges.is_some_and(|aggregate| {
            let one_store = keeps(aggregate, "store") || metric.unit == Unit::Seconds;
            aggregate.op.to_string() == "max" && one_store
        })
    })
}

fn keeps(aggregate: &AggregateExpr, label: &str) -> bool {
    match &aggregate.modifier {
        Some(LabelModifier::Include(labels)) => labels.labels.iter().any(|kept| kept == label),
        Some(LabelModifier::Exclude(labels)) => labels.labels.iter().all(|lost| lost != label),
        None => false,
    }
}
