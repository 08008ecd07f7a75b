//! The rules of `grafana/dashboard-linter`, by its names; the last is the reverse of its own. They hold with one exemption: selectors on
//! recorded `slo:…` series and on `ALERTS` carry neither `job` nor `instance`.

mod logql;
mod panels;
mod targets;
mod templates;

use super::{Rule, broken, broken_rules};
use crate::nothing;

pub use logql::form as logql;

const RULES: &[Rule] = &[
    ("template-datasource", templates::datasource),
    ("template-job", templates::job),
    ("template-instance", templates::instance),
    ("template-label-promql", templates::label_promql),
    ("template-on-time-change-reload", templates::on_time_change_reload),
    ("panel-datasource", panels::datasource),
    ("panel-title-description", panels::title_description),
    ("panel-units", panels::units),
    ("panel-no-targets", panels::no_targets),
    ("target-logql", logql::valid),
    ("target-logql-auto", logql::auto),
    ("target-promql", targets::promql),
    ("target-rate-interval", targets::rate_interval),
    ("target-job", targets::job),
    ("target-instance", targets::instance),
    ("target-counter-agg", targets::counter_agg),
    ("editable-dashboard", templates::editable),
];

#[test]
fn every_rule_holds_on_every_dashboard() {
    assert_eq!(RULES.len(), 17);
    nothing(&broken_rules(RULES));
}

#[test]
fn a_good_dashboard_passes_and_each_rule_fails_on_a_broken_one() {
    broken::prove(RULES, broken::LINTER);
}
