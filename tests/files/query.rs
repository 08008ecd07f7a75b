//! Which labels a query's answer has.

use crate::{dashboards::exported::Exported, promql};
use promql_parser::parser::{BinaryExpr, Call, Expr, LabelModifier, VectorMatchCardinality};
use std::collections::BTreeSet;

pub type Labels = BTreeSet<String>;

/// The labels that the answer to this query has, or may have.
pub fn kept(expr: &Expr, exported: &Exported) -> Labels {
    match expr {
        Expr::Aggregate(aggregate) => {
            let inner = kept(&aggregate.expr, exported);
            let name = aggregate.op.to_string();
            if ["topk", "bottomk", "limitk"].contains(&name.as_str()) {
                return inner;
            }
            let mut labels = match &aggregate.modifier {
                Some(LabelModifier::Include(labels)) => own(&labels.labels),
                Some(LabelModifier::Exclude(labels)) => &inner - &own(&labels.labels),
                None => Labels::new(),
            };
            if let (true, Some(Expr::StringLiteral(label))) =
                (name == "count_values", aggregate.param.as_deref())
            {
                labels.insert(label.val.clone());
            }
            labels
        }
        Expr::Unary(inner) => kept(&inner.expr, exported),
        Expr::Paren(inner) => kept(&inner.expr, exported),
        Expr::Subquery(inner) => kept(&inner.expr, exported),
        Expr::Binary(binary) => of_both(binary, exported),
        Expr::Call(call) => of_call(call, exported),
        _ => {
            promql::selector(expr).map(|selector| exported.labels(promql::name(selector))).unwrap_or_default()
        }
    }
}

fn own(labels: &[String]) -> Labels {
    labels.iter().cloned().collect()
}

fn of_both(binary: &BinaryExpr, exported: &Exported) -> Labels {
    let (left, right) = (kept(&binary.lhs, exported), kept(&binary.rhs, exported));
    let modifier = binary.modifier.as_ref();
    let operator = binary.op.to_string();
    if is_number(&binary.lhs) {
        return right;
    }
    // What follows `or` is there so that no panel is blank.
    if is_number(&binary.rhs) || ["and", "unless", "or"].contains(&operator.as_str()) {
        return left;
    }
    let (many, grouped) = match modifier.map(|modifier| &modifier.card) {
        Some(VectorMatchCardinality::ManyToOne(labels)) => (Some(&left), own(&labels.labels)),
        Some(VectorMatchCardinality::OneToMany(labels)) => (Some(&right), own(&labels.labels)),
        _ => (None, Labels::new()),
    };
    let matched = match modifier.and_then(|modifier| modifier.matching.as_ref()) {
        Some(LabelModifier::Include(labels)) => own(&labels.labels),
        Some(LabelModifier::Exclude(labels)) => &left - &own(&labels.labels),
        None => left.clone(),
    };
    many.map_or(matched, |many| many | &grouped)
}

fn is_number(expr: &Expr) -> bool {
    match expr {
        Expr::NumberLiteral(_) => true,
        Expr::Paren(inner) => is_number(&inner.expr),
        Expr::Unary(inner) => is_number(&inner.expr),
        Expr::Binary(inner) => is_number(&inner.lhs) && is_number(&inner.rhs),
        Expr::Call(call) => ["time", "scalar", "pi"].contains(&call.func.name),
        _ => false,
    }
}

fn of_call(call: &Call, exported: &Exported) -> Labels {
    let args: Vec<&Expr> = call.args.args.iter().map(|arg| &**arg).collect();
    let mut labels: Labels = args.iter().flat_map(|arg| kept(arg, exported)).collect();
    match (call.func.name, args.get(1)) {
        ("histogram_quantile", _) => {
            labels.remove("le");
        }
        ("label_replace" | "label_join", Some(Expr::StringLiteral(label))) => {
            labels.insert(label.val.clone());
        }
        _ => {}
    }
    labels
}

#[test]
fn the_labels_of_an_answer_are_those_that_the_query_keeps() {
    let exported = Exported::read();
    let labels = |query: &str| {
        let labels = kept(&promql::parse(query).unwrap(), &exported);
        labels.into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(labels("up"), "instance job");
    assert_eq!(labels("sum by (job) (up)"), "job");
    assert_eq!(labels("sum without (job) (up)"), "instance");
    assert_eq!(labels("sum(up) / 2"), "");
    assert_eq!(labels("2 * (up > 0)"), "instance job");
    assert_eq!(labels("up unless on (job) sum by (job) (up)"), "instance job");
    assert_eq!(labels("sum by (job) (up) or sum(up)"), "job");
    assert_eq!(labels("up / on (job) group_left () sum by (job) (up)"), "instance job");
    assert_eq!(labels("sum by (job) (up) / on (job) sum by (job) (up)"), "job");
    assert_eq!(labels(r#"label_replace(vector(0), "status", "none", "", "")"#), "status");
    let buckets = "sum by (le, route) (rate(http_request_duration_seconds_bucket[1m]))";
    assert_eq!(labels(&format!("histogram_quantile(0.9, {buckets})")), "route");
    assert_eq!(labels("count_values(\"version\", up)"), "version");
}
