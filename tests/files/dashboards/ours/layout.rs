//! Who a dashboard and its panels are, and where they stand.

use crate::read::Board;
use std::collections::{BTreeMap, BTreeSet};

/// Grafana's grid is that wide.
const COLUMNS: u64 = 24;

/// The uid is the file's name, and each panel has an id of its own.
pub fn identity(board: &Board) -> Vec<String> {
    let mut faults = Vec::new();
    if board.file != format!("dashboards/{}.json", board.uid()) {
        faults.push(format!("the uid {:?} is not the file's name", board.uid()));
    }
    let mut seen = BTreeSet::new();
    let rows = board.json["panels"].as_array().into_iter().flatten();
    for id in rows.map(|panel| panel["id"].as_u64()) {
        if id.is_none() || !seen.insert(id) {
            faults.push(format!("a panel has the id {id:?} like another one, or none"));
        }
    }
    faults
}

/// Every cell of the grid is covered once, from the first to the last.
pub fn full(board: &Board) -> Vec<String> {
    let mut cells = BTreeMap::<(u64, u64), u32>::new();
    for panel in board.json["panels"].as_array().into_iter().flatten() {
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap_or_default();
        for y in at("y")..at("y") + at("h") {
            for x in at("x")..at("x") + at("w") {
                *cells.entry((y, x)).or_default() += 1;
            }
        }
    }
    let height = cells.keys().map(|(y, _)| y + 1).max().unwrap_or_default();
    let outside = cells.keys().filter(|(_, x)| *x >= COLUMNS).map(|(y, _)| format!("line {y}: too wide"));
    let wrong = (0..height).filter_map(|y| {
        let covered = |x: u64| cells.get(&(y, x)).copied().unwrap_or_default();
        let x = (0..COLUMNS).find(|x| covered(*x) != 1)?;
        Some(format!("line {y}, column {x}: {} panels", covered(x)))
    });
    outside.chain(wrong).collect()
}
