//! The checked-in dashboards, however they were edited: `linter` has the rules of `grafana/dashboard-linter`, `ours` those of
//! this repository, `exported` whether queries name what the services export. `broken` is what each rule is shown to fail on.

mod broken;
pub mod exported;
pub mod linter;
mod ours;

use crate::read::{Board, boards};

/// A rule's name, and what of a dashboard breaks it.
type Rule = (&'static str, fn(&Board) -> Vec<String>);

/// What of all dashboards breaks these rules.
fn broken_rules(rules: &[Rule]) -> Vec<String> {
    let boards = boards().unwrap();
    assert!(!boards.is_empty());
    let judged = boards.iter().flat_map(|board| {
        rules.iter().flat_map(move |(name, rule)| {
            rule(board).into_iter().map(move |fault| format!("{}: {name}: {fault}", board.file))
        })
    });
    judged.collect()
}
