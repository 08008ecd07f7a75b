//! Rules about queries in PromQL.

use crate::promql::{self, RATE_INTERVAL};
use crate::read::Board;
use promql_parser::parser::{Expr, VectorSelector};

/// What `judge` finds wrong with each query that can be read; one that can't is another rule's.
fn each(board: &Board, judge: impl Fn(&Expr) -> Option<String>) -> Vec<String> {
    let queries = board.panels().into_iter().flat_map(|panel| {
        let targets = panel.targets().into_iter().filter(|target| target.source() == "prometheus");
        targets.map(move |target| (panel.title(), target.expr()))
    });
    let faults = queries.filter_map(|(title, query)| {
        let fault = judge(&promql::parse(query).ok()?)?;
        Some(format!("{title:?}: {fault}: {query}"))
    });
    faults.collect()
}

pub fn promql(board: &Board) -> Vec<String> {
    let targets = board.panels().into_iter().flat_map(|panel| {
        let targets = panel.targets().into_iter().filter(|target| target.source() != "loki");
        targets.map(move |target| (panel.title(), target))
    });
    let faults = targets.filter_map(|(title, target)| {
        let fault = promql::parse(target.expr()).err()?;
        Some(format!("{title:?}: {fault}: {}", target.expr()))
    });
    faults.collect()
}

/// A rate is taken over `$__rate_interval`, and other functions not over a duration that is written out.
pub fn rate_interval(board: &Board) -> Vec<String> {
    each(board, |expr| {
        promql::nodes(expr).into_iter().find_map(|(node, above)| {
            let Expr::MatrixSelector(range) = node else { return None };
            let function = match above.last() {
                Some(Expr::Call(call)) => call.func.name,
                _ => return Some("a range outside a function".to_owned()),
            };
            let bad = ["rate", "irate"].contains(&function) && range.range != RATE_INTERVAL;
            bad.then(|| format!("{function} over something else than $__rate_interval"))
        })
    })
}

pub fn job(board: &Board) -> Vec<String> {
    each(board, |expr| lacks(expr, "job", "$job"))
}

pub fn instance(board: &Board) -> Vec<String> {
    each(board, |expr| lacks(expr, "instance", "$instance"))
}

/// The first selector that does not ask for the chosen value, the exempt ones aside.
fn lacks(expr: &Expr, label: &str, value: &str) -> Option<String> {
    let asks =
        |selector: &&VectorSelector| promql::is_exempt(selector) || promql::asks(selector, label, value);
    let bad = promql::selectors(expr).into_iter().find(|selector| !asks(selector))?;
    Some(format!("{} without {label}=~\"{value}\"", promql::name(bad)))
}

/// A counter is looked at by `rate`, `irate` or `increase` only.
pub fn counter_agg(board: &Board) -> Vec<String> {
    each(board, |expr| {
        promql::nodes(expr).into_iter().find_map(|(node, above)| {
            let name = promql::name(promql::selector(node)?);
            let rated = match (node, above.last()) {
                (Expr::MatrixSelector(_), Some(Expr::Call(call))) => {
                    ["rate", "irate", "increase"].contains(&call.func.name)
                }
                _ => false,
            };
            (name.ends_with("_total") && !rated).then(|| format!("{name} without rate or increase"))
        })
    })
}
