//! Judges the checked-in dashboards and rules as files: whatever made them, and however they were edited.
//!
//! `linter` has the rules of `grafana/dashboard-linter`, `ours` those of this repository, `exported` whether
//! queries name what the services export. `broken` is what each of them is shown to fail on.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod broken;
mod exported;
mod linter;
mod ours;
mod promql;
mod query;

use observability::read::{Board, boards};

/// A rule's name, and what of a dashboard breaks it.
type Rule = (&'static str, fn(&Board) -> Vec<String>);

/// Fails with all that is wrong.
#[track_caller]
fn nothing(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

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
