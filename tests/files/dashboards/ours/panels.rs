//! What a panel asks, and how it shows the answer.

use crate::{
    dashboards::exported::Exported,
    promql, query,
    read::{Board, Panel, Target},
};
use promql_parser::parser::Expr;
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
