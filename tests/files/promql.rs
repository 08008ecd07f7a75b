//! PromQL parsed as the checks read it: a dashboard's intervals are replaced, its `$job` and `$instance`
//! stay in their matchers.

use promql_parser::{
    label::{MatchOp, Matcher},
    parser::{self, Expr, VectorSelector},
};
use std::time::Duration;

/// What stands for `$__rate_interval`: a duration that nobody writes.
pub const RATE_INTERVAL: Duration = Duration::from_secs(7919);

pub fn parse(query: &str) -> Result<Expr, String> {
    let seconds = format!("{}s", RATE_INTERVAL.as_secs());
    let query = query.replace("$__rate_interval", &seconds);
    parser::parse(&query.replace("$__range", "6007s").replace("$__interval", "6011s"))
}

/// Every part of a query with the parts that it stands in, the nearest last.
pub fn nodes(expr: &Expr) -> Vec<(&Expr, Vec<&Expr>)> {
    let mut found = Vec::new();
    collect(expr, &mut Vec::new(), &mut found);
    found
}

fn collect<'a>(expr: &'a Expr, above: &mut Vec<&'a Expr>, found: &mut Vec<(&'a Expr, Vec<&'a Expr>)>) {
    found.push((expr, above.clone()));
    above.push(expr);
    for child in children(expr) {
        collect(child, above, found);
    }
    above.pop();
}

fn children(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Aggregate(inner) => inner.param.as_deref().into_iter().chain([&*inner.expr]).collect(),
        Expr::Unary(inner) => vec![&inner.expr],
        Expr::Binary(inner) => vec![&inner.lhs, &inner.rhs],
        Expr::Paren(inner) => vec![&inner.expr],
        Expr::Subquery(inner) => vec![&inner.expr],
        Expr::Call(inner) => inner.args.args.iter().map(|arg| &**arg).collect(),
        _ => Vec::new(),
    }
}

/// The selector of a node that is one, also of a range.
pub fn selector(expr: &Expr) -> Option<&VectorSelector> {
    match expr {
        Expr::VectorSelector(selector) => Some(selector),
        Expr::MatrixSelector(range) => Some(&range.vs),
        _ => None,
    }
}

pub fn selectors(expr: &Expr) -> Vec<&VectorSelector> {
    nodes(expr).into_iter().filter_map(|(node, _)| selector(node)).collect()
}

/// The name of the series; empty where a query names none.
pub fn name(selector: &VectorSelector) -> &str {
    selector.name.as_deref().unwrap_or_default()
}

pub fn matchers(selector: &VectorSelector) -> impl Iterator<Item = &Matcher> {
    selector.matchers.matchers.iter().chain(selector.matchers.or_matchers.iter().flatten())
}

/// Whether the selector asks for `label=~"value"`.
pub fn asks(selector: &VectorSelector, label: &str, value: &str) -> bool {
    matchers(selector).any(|matcher| {
        matcher.name == label && matcher.value == value && matches!(matcher.op, MatchOp::Re(_))
    })
}

/// Recorded series and alerts belong to no instance: the one exemption from `job` and `instance`.
pub fn is_exempt(selector: &VectorSelector) -> bool {
    name(selector).starts_with("slo:") || name(selector) == "ALERTS"
}
