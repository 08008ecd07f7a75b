//! The rules of Prometheus: objectives as recorded series, and alerts on them and on causes.
//!
//! - [`rule`] is a rule as a value and writes it as Prometheus reads it; [`slo`] makes an objective's rules.
//! - `domain` says which objectives and alerts there are for the sample.

mod domain;
pub mod rule;
pub mod slo;

use rule::Group;

/// The objectives, in the order of the contract.
pub fn objectives() -> Vec<slo::Slo> {
    domain::objectives::all()
}

/// Each generated file's path, from the root of the repository, and its text.
pub fn generated() -> Vec<(String, String)> {
    let slo: Vec<Group> = objectives().iter().flat_map(slo::Slo::groups).collect();
    vec![("deploy/prometheus/rules/slo.yml".to_owned(), rule::text(SLO_HEAD, &slo))]
}

const SLO_HEAD: &str = "The objectives as series, in sloth's naming (https://sloth.dev), so that its dashboards work on them.\n\
     A ratio is 0 without traffic: no panel is blank, and no alert fires for it.";
