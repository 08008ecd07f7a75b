//! What a panel asks, and how it shows the answer.

use crate::{
    dashboards::exported::{Exported, catalogue},
    promql, query,
    read::{Board, Panel, Target},
};
use promql_parser::parser::{AggregateExpr, Expr, LabelModifier};
use std::collections::BTreeSet;

fn queries<'a>(panel: Panel<'a>) -> impl Iterator<Item = (Target<'a>, Expr)> {
    let targets = panel.targets().into_iter().filter(|target| target.source() == "prometheus");
    targets.filter_map(|target| Some((target, promql::parse(target.expr()).ok()?)))
}

/// A panel of latencies shows exemplars: a point of it is a trace.
pub fn exemplars(board: &Board) -> Vec<String> {
    let lacks = |panel: &Panel<'_>| {
        let calls = |expr: &Expr, name: &str| {
            promql::nodes(expr)
                .iter()
                .any(|(node, _)| matches!(node, Expr::Call(call) if call.func.name == name))
        };
        let mut of_latency = queries(*panel).filter(|(_, expr)| calls(expr, "histogram_quantile")).peekable();
        of_latency.peek().is_some() && !of_latency.any(|(target, _)| target.exemplar())
    };
    let bad = board.panels().into_iter().filter(lacks);
    bad.map(|panel| format!("{:?} asks for a quantile without exemplars", panel.title())).collect()
}

/// Alerts name a panel by its title.
pub fn unique_titles(board: &Board) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let again = board.panels().into_iter().filter(|panel| !seen.insert(panel.title()));
    again.map(|panel| format!("{:?} is there twice", panel.title())).collect()
}

/// A legend names only labels that its query keeps.
pub fn legends(board: &Board) -> Vec<String> {
    let exported = Exported::read();
    let judged = board.panels().into_iter().flat_map(|panel| {
        let named = |(target, expr): (Target<'_>, Expr)| {
            let kept = query::kept(&expr, &exported);
            let named = target.legend().split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
            let lost: Vec<_> = named.map(str::trim).filter(|label| !kept.contains(*label)).collect();
            (!lost.is_empty())
                .then(|| format!("{:?}: {lost:?} of {:?} are not kept", panel.title(), target.legend()))
        };
        queries(panel).filter_map(named).collect::<Vec<_>>()
    });
    judged.collect()
}

/// A gauge that every replica tells of one store is looked at by its maximum, never by a sum of replicas.
pub fn store_wide(board: &Board) -> Vec<String> {
    let is_store_wide = |name: &str| catalogue().any(|metric| metric.store_wide && metric.name == name);
    let judged = board.panels().into_iter().flat_map(|panel| {
        let bad = |(target, expr): (Target<'_>, Expr)| {
            let bad = promql::nodes(&expr).into_iter().any(|(node, above)| {
                let Some(selector) = promql::selector(node) else { return false };
                let nearest = above.iter().rev().find_map(|node| match node {
                    Expr::Aggregate(aggregate) => Some(aggregate),
                    _ => None,
                });
                is_store_wide(promql::name(selector)) && !nearest.is_some_and(is_maximum)
            });
            bad.then(|| format!("{:?}: a store-wide gauge without max: {}", panel.title(), target.expr()))
        };
        queries(panel).filter_map(bad).collect::<Vec<_>>()
    });
    judged.collect()
}

/// Whether the replicas become one by `max`, or are kept apart.
fn is_maximum(aggregate: &AggregateExpr) -> bool {
    let apart = match &aggregate.modifier {
        Some(LabelModifier::Include(labels)) => labels.labels.iter().any(|label| label == "instance"),
        _ => false,
    };
    apart || aggregate.op.to_string() == "max"
}
