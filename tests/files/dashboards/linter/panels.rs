//! Rules about panels. Stricter than the linter, which leaves some kinds of panels out: all are judged.

use crate::read::{Board, Panel};
use serde_json::Value;

/// What is wrong with each panel for which `good` is false.
fn each(board: &Board, what: &str, good: impl Fn(Panel<'_>) -> bool) -> Vec<String> {
    let bad = board.panels().into_iter().filter(|panel| !good(*panel));
    bad.map(|panel| format!("panel {} {:?}: {what}", panel.id(), panel.title())).collect()
}

/// Panels and their queries ask a data source that is a variable of the dashboard.
pub fn datasource(board: &Board) -> Vec<String> {
    let variables = board.variables().into_iter().filter(|variable| variable.kind() == "datasource");
    let known: Vec<String> = variables.map(|variable| format!("${{{}}}", variable.name())).collect();
    let is_known = |source: &Value| {
        let uid = source["uid"].as_str().unwrap_or_default();
        let kind = source["type"].as_str().unwrap_or_default();
        known.iter().any(|known| known == uid) && uid == format!("${{{kind}_datasource}}")
    };
    each(board, "does not ask a data source that is a variable", |panel| {
        is_known(&panel.0["datasource"])
            && panel.targets().iter().all(|target| is_known(&target.0["datasource"]))
    })
}

pub fn title_description(board: &Board) -> Vec<String> {
    let told = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
    each(board, "has no title or no description", |panel| {
        told(&panel.0["title"]) && told(&panel.0["description"])
    })
}

/// Those of Grafana's units that are used here; another one is added with its first use.
const UNITS: &str = "bytes cps dtdurations locale none ops percentunit reqps s short";

/// A panel has one of Grafana's units, and so has every override of it.
pub fn units(board: &Board) -> Vec<String> {
    let is_unit =
        |unit: &Value| unit.as_str().is_some_and(|unit| UNITS.split(' ').any(|known| known == unit));
    each(board, "has no unit, or one that Grafana does not know", |panel| {
        let field = &panel.0["fieldConfig"];
        let overrides = field["overrides"].as_array().into_iter().flatten();
        let properties = overrides.flat_map(|one| one["properties"].as_array().into_iter().flatten());
        let mut units =
            properties.filter(|property| property["id"] == "unit").map(|property| &property["value"]);
        is_unit(&field["defaults"]["unit"]) && units.all(is_unit)
    })
}

pub fn no_targets(board: &Board) -> Vec<String> {
    each(board, "asks nothing", |panel| !panel.targets().is_empty())
}
