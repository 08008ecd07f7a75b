//! The shipped rules in a running Prometheus: all are evaluated without an error, and what they record is there.

use super::{checks::Checker, prometheus::Prometheus};
use serde_json::Value;

/// All rules, each with the name of its group.
fn rules(prometheus: &Prometheus) -> Vec<(String, Value)> {
    let groups = prometheus.rule_groups();
    let of = |group: &Value| -> Vec<(String, Value)> {
        let rules = group["rules"].as_array().cloned().unwrap_or_default();
        rules.into_iter().map(|rule| (group["name"].as_str().unwrap_or_default().to_owned(), rule)).collect()
    };
    groups.iter().flat_map(of).collect()
}

/// Whether each rule was evaluated at least once.
pub fn all_evaluated(prometheus: &Prometheus) -> bool {
    let rules = rules(prometheus);
    !rules.is_empty() && rules.iter().all(|(_, rule)| rule["health"] != "unknown")
}

/// Rules that fail, whose selectors find nothing, or that record nothing.
pub fn faults(checker: &Checker<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for (group, rule) in rules(checker.prometheus) {
        let name = rule["name"].as_str().unwrap_or_default();
        let query = rule["query"].as_str().unwrap_or_default();
        let mut fault = |what: String| faults.push(format!("rule {name} of {group}: {what}\n    {query}"));
        if rule["health"] != "ok" {
            fault(format!("{} {}", rule["health"], rule["lastError"]));
        }
        match checker.dead_selector(query) {
            Ok(None) => {}
            Ok(Some(dead)) => fault(format!("nothing is found by {dead}")),
            Err(error) => fault(error),
        }
        let recorded = || checker.prometheus.series(name, checker.window).unwrap_or_default();
        if rule["type"] == "recording" && recorded().is_empty() {
            fault("it has recorded nothing".to_owned());
        }
    }
    faults
}
