//! The rules of Prometheus: objectives as recorded series, and alerts on them and on causes.
//!
//! - [`rule`] and [`alert`] are rules as values; [`slo`] makes an objective's series, and [`burn`] its alerts.
//! - [`proof`] says when an alert fires and when not, and [`cases`] makes tests for `promtool` of it.
//! - `platform` and `domain` say which objectives and alerts there are: a fork keeps the first and replaces
//!   the second.

pub mod alert;
pub mod burn;
pub mod cases;
mod domain;
mod platform;
pub mod proof;
pub mod rule;
pub mod slo;
pub mod table;
mod yaml;

use alert::Alert;
use rule::{Group, Rule};

/// The objectives, in the order of the contract.
pub fn objectives() -> Vec<slo::Slo> {
    domain::objectives::all()
}

/// Every alert: those of the objectives first.
pub fn alerts() -> Vec<Alert> {
    objectives().iter().flat_map(burn::alerts).chain(domain::all()).chain(platform::all()).collect()
}

/// The rule files by their names: the objectives with their alerts, and the alerts on causes.
pub fn files() -> [(&'static str, Vec<Group>); 2] {
    let causes = |name: &str, alerts: Vec<Alert>| Group {
        name: name.to_owned(),
        rules: alerts.into_iter().map(Rule::from).collect(),
    };
    let objectives = objectives().iter().flat_map(slo::Slo::groups).collect();
    [
        ("slo", objectives),
        ("alerts", vec![causes("domain", domain::all()), causes("platform", platform::all())]),
    ]
}

/// Each generated file's path, from the root of the repository, and its text.
pub fn generated() -> Vec<(String, String)> {
    let heads = [SLO_HEAD, CAUSES_HEAD];
    let rules = files().into_iter().zip(heads);
    let rules = rules.map(|((name, groups), head)| {
        (format!("deploy/prometheus/rules/{name}.yml"), rule::text(head, &groups))
    });
    rules.chain(cases::files(&alerts())).collect()
}

const SLO_HEAD: &str = "The objectives as series, in sloth's naming (https://sloth.dev), so that its dashboards work on them,\n\
     and the alerts on how fast their budgets burn. A ratio is 0 without traffic: no panel is blank.";
const CAUSES_HEAD: &str = "Alerts on causes that need a person.";
