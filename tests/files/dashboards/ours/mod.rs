//! Rules of this repository for its dashboards.

mod layout;
mod links;
mod panels;

use super::{Rule, broken, broken_rules};
use crate::nothing;
use crate::read::{Board, boards};
use std::collections::BTreeSet;

const RULES: &[Rule] = &[
    ("panel-links", links::to_traces_or_logs),
    ("links", links::lead_somewhere),
    ("latency-exemplars", panels::exemplars),
    ("unique-titles", panels::unique_titles),
    ("legends", panels::legends),
    ("identity", layout::identity),
    ("layout", layout::full),
];

#[test]
fn every_rule_of_ours_holds_on_every_dashboard() {
    nothing(&broken_rules(RULES));
}

#[test]
fn each_rule_of_ours_fails_on_a_broken_dashboard() {
    broken::prove(RULES, broken::OURS);
}

#[test]
fn the_overview_has_no_more_panels_than_can_be_taken_in() {
    let boards = boards().unwrap();
    let overview = boards.iter().find(|board| board.uid().ends_with("overview")).unwrap();
    assert!(overview.panels().len() <= 16, "{} panels", overview.panels().len());
}

#[test]
fn no_two_dashboards_share_uid_or_title() {
    let boards = boards().unwrap();
    let uids: BTreeSet<_> = boards.iter().map(Board::uid).collect();
    let titles: BTreeSet<_> = boards.iter().map(Board::title).collect();
    assert_eq!((uids.len(), titles.len()), (boards.len(), boards.len()));
}
