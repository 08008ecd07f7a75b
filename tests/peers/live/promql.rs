//! PromQL as far as the proof has to understand it: what a query selects, which labels its answer has to tell
//! apart, and what it would be if a metric or a label had another name.

use promql_parser::{
    label::Matcher,
    parser::{self, Expr, LabelModifier, MatrixSelector, VectorSelector},
    util::visitor::{ExprVisitor, ExprVisitorMut, walk_expr, walk_expr_mut},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

/// One selector of a query.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    /// Of the series, as `x_bucket`.
    pub name: String,
    /// Without range and offset.
    pub text: String,
}

/// The metric that a series belongs to: histograms have three kinds of them.
pub fn family(name: &str) -> &str {
    let ends = ["_bucket", "_sum", "_count"];
    ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// All selectors of a query; the error is the parser's.
pub fn selectors(query: &str) -> Result<BTreeSet<Selector>, String> {
    let mut found = Found::default();
    let _ = walk_expr(&mut found, &parser::parse(query)?);
    Ok(found.0)
}

#[derive(Default)]
struct Found(BTreeSet<Selector>);

impl ExprVisitor for Found {
    type Error = Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
        let (Expr::VectorSelector(selector) | Expr::MatrixSelector(MatrixSelector { vs: selector, .. })) =
            expr
        else {
            return Ok(true);
        };
        let bare = VectorSelector { offset: None, at: None, ..selector.clone() };
        self.0.insert(Selector { name: name_of(selector), text: bare.to_string() });
        Ok(true)
    }
}

fn name_of(selector: &VectorSelector) -> String {
    let by_matcher = || selector.matchers.matchers.iter().find(|matcher| matcher.name == "__name__");
    selector.name.clone().or_else(|| by_matcher().map(|matcher| matcher.value.clone())).unwrap_or_default()
}

/// Every aggregation of a query, the inner ones too, with the labels that it groups by.
pub fn groups(query: &str) -> Result<BTreeMap<String, Vec<String>>, String> {
    let mut found = Groups::default();
    let _ = walk_expr(&mut found, &parser::parse(query)?);
    Ok(found.0)
}

#[derive(Default)]
struct Groups(BTreeMap<String, Vec<String>>);

impl ExprVisitor for Groups {
    type Error = Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
        if let Expr::Aggregate(aggregate) = expr
            && let Some(LabelModifier::Include(labels)) = &aggregate.modifier
        {
            self.0.insert(expr.to_string(), labels.labels.clone());
        }
        Ok(true)
    }
}

/// What gets another name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Renamed {
    pub metric: String,
    /// The metric itself where there is none.
    pub label: Option<String>,
}

/// The query that asks of what is stored what `query` would ask if it had been exported under the other name.
///
/// A selector of a renamed metric finds nothing, and neither does a matcher on a renamed label, unless it
/// matches series without it. From series that are still found the label is moved to its new name: at once, or
/// behind the function over a range, which leaves labels as they are.
pub fn renamed(query: &str, renamed: &Renamed) -> Result<String, String> {
    let mut expr = parser::parse(query)?;
    let _ = walk_expr_mut(&mut Rename(renamed), &mut expr);
    Ok(expr.to_string())
}

struct Rename<'a>(&'a Renamed);

impl Rename<'_> {
    fn is_meant(&self, selector: &VectorSelector) -> bool {
        let name = name_of(selector);
        name == self.0.metric || family(&name) == self.0.metric
    }

    /// Makes the selector find what it would.
    fn select(&self, selector: &mut VectorSelector) {
        let matchers = &mut selector.matchers.matchers;
        let lost = |matcher: &Matcher| self.0.label.as_ref() == Some(&matcher.name);
        let finds_nothing = matchers.iter().any(|matcher| lost(matcher) && !matcher.is_match(""));
        matchers.retain(|matcher| !lost(matcher));
        if self.0.label.is_none() || finds_nothing {
            selector.name = Some(format!("{}__renamed", self.0.metric));
        }
    }

    fn moved(&self, expr: &Expr) -> Option<Expr> {
        let label = self.0.label.as_ref()?;
        let copied = format!(r#"label_replace({expr}, "{label}__renamed", "$1", "{label}", "(.*)")"#);
        parser::parse(&format!(r#"label_replace({copied}, "{label}", "", "{label}", ".*")"#)).ok()
    }
}

impl ExprVisitorMut for Rename<'_> {
    type Error = Infallible;

    fn pre_visit(&mut self, _: &mut Expr) -> Result<bool, Infallible> {
        Ok(true)
    }

    fn post_visit(&mut self, expr: &mut Expr) -> Result<bool, Infallible> {
        let meant = match expr {
            Expr::VectorSelector(selector) if self.is_meant(selector) => {
                self.select(selector);
                true
            }
            Expr::Call(call) => {
                let ranges = call.args.args.iter_mut().filter_map(|argument| match &mut **argument {
                    Expr::MatrixSelector(range) if self.is_meant(&range.vs) => Some(&mut range.vs),
                    _ => None,
                });
                ranges.map(|selector| self.select(selector)).count() > 0
            }
            _ => false,
        };
        if meant && let Some(moved) = self.moved(expr) {
            *expr = moved;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rename(query: &str, metric: &str, label: Option<&str>) -> String {
        renamed(query, &Renamed { metric: metric.to_owned(), label: label.map(str::to_owned) }).unwrap()
    }

    #[test]
    fn selectors_are_found_wherever_they_stand() {
        let query =
            r#"histogram_quantile(0.9, sum by (le) (rate(a_bucket{x="1"}[5m] offset 1m))) and on () (b > 0)"#;
        let found: Vec<_> =
            selectors(query).unwrap().into_iter().map(|found| (found.name, found.text)).collect();
        let expected = [("a_bucket", r#"a_bucket{x="1"}"#), ("b", "b")];
        assert_eq!(found, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }

    #[test]
    fn aggregations_are_found_wherever_they_stand() {
        let query = "100 * sum(max by (a, b) (x)) / clamp_min(sum by (c) (rate(y[5m])), 1)";
        let found: Vec<_> = groups(query).unwrap().into_iter().collect();
        let owned = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect::<Vec<_>>();
        let inner = ("max by (a, b) (x)".to_owned(), owned(&["a", "b"]));
        assert_eq!(found, [inner, ("sum by (c) (rate(y[5m]))".to_owned(), owned(&["c"]))]);
    }

    #[test]
    fn a_renamed_metric_and_a_matcher_on_a_renamed_label_find_nothing() {
        assert_eq!(rename("sum(rate(x_count[5m]))", "x", None), "sum(rate(x__renamed[5m]))");
        assert_eq!(rename("y", "x", None), "y");
        let lost = rename(r#"x{a="1",b!="2"}"#, "x", Some("a"));
        assert!(lost.contains(r#"x__renamed{b!="2"}"#), "{lost}");
        let kept = rename(r#"x{a!="1"}"#, "x", Some("a"));
        assert!(kept.contains("label_replace(x, "), "{kept}");
    }

    #[test]
    fn a_renamed_label_is_moved_behind_the_function_over_a_range() {
        let moved = rename("sum by (a) (rate(x[5m]))", "x", Some("a"));
        assert!(moved.contains(r#"label_replace(rate(x[5m]), "a__renamed", "$1", "a", "(.*)")"#), "{moved}");
        assert!(moved.starts_with("sum by (a) (label_replace("), "{moved}");
    }
}
