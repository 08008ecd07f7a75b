//! Rules about a dashboard's variables and the dashboard itself.

use crate::promql;
use crate::read::{Board, Variable};
use promql_parser::parser::Expr;

fn sources(board: &Board) -> Vec<Variable<'_>> {
    board.variables().into_iter().filter(|variable| variable.kind() == "datasource").collect()
}

/// A word as a title.
fn title(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Data sources are variables, each named and labelled after its kind.
pub fn datasource(board: &Board) -> Vec<String> {
    let sources = sources(board);
    if sources.is_empty() {
        return vec!["no data source is a variable".into()];
    }
    let faults = sources.iter().filter_map(|source| {
        let kind = source.query();
        let (name, label) = (format!("{kind}_datasource"), format!("{} data source", title(kind)));
        let good = source.name() == name && source.0["label"] == label;
        (!good).then(|| format!("{}: is to be {name} with the label {label:?}", source.name()))
    });
    faults.collect()
}

pub fn job(board: &Board) -> Vec<String> {
    choice(board, "job")
}

pub fn instance(board: &Board) -> Vec<String> {
    choice(board, "instance")
}

/// A variable that is asked of Prometheus, of which many can be chosen, and all.
fn choice(board: &Board, name: &str) -> Vec<String> {
    let Some(variable) = board.variables().into_iter().find(|variable| variable.name() == name) else {
        return vec![format!("there is no variable {name}")];
    };
    let source = variable.0["datasource"]["uid"].as_str().unwrap_or_default();
    let wanted = [
        (variable.kind() == "query", "is asked for by a query"),
        (["$prometheus_datasource", "${prometheus_datasource}"].contains(&source), "asks the chosen source"),
        (variable.0["label"] == title(name), "is labelled by its name"),
        (variable.0["multi"] == true, "takes many values"),
        (variable.0["includeAll"] == true, "takes all values"),
        (variable.0["allValue"] == ".+", "has .+ for all"),
    ];
    wanted.iter().filter(|(good, _)| !good).map(|(_, what)| format!("{name}: not so: {what}")).collect()
}

/// What a variable's query may call.
const FUNCTIONS: &[&str] = &["label_names", "label_values", "metrics", "query_result"];

pub fn label_promql(board: &Board) -> Vec<String> {
    let queries = board.variables().into_iter().filter(|variable| variable.kind() == "query");
    let faults = queries.filter_map(|variable| {
        let fault = label_query(variable.query()).err()?;
        Some(format!("{}: {:?}: {fault}", variable.name(), variable.query()))
    });
    faults.collect()
}

fn label_query(query: &str) -> Result<(), String> {
    let call = query.strip_suffix(')').and_then(|query| query.split_once('('));
    let (function, argument) = call.ok_or("calls nothing")?;
    if !FUNCTIONS.contains(&function) {
        return Err(format!("{function} is none of {FUNCTIONS:?}"));
    }
    let series = match (function, argument.rsplit_once(',')) {
        ("label_values", Some((series, _))) => series,
        ("label_values" | "label_names" | "metrics", _) => return Ok(()),
        _ => argument,
    };
    match promql::parse(series)? {
        Expr::VectorSelector(_) => Ok(()),
        _ if function == "query_result" => Ok(()),
        _ => Err("asks for the labels of no series".into()),
    }
}

/// Grafana's number for "on time range change".
const ON_TIME_RANGE_CHANGE: u64 = 2;

pub fn on_time_change_reload(board: &Board) -> Vec<String> {
    let queries = board.variables().into_iter().filter(|variable| variable.kind() == "query");
    let stale = queries.filter(|variable| variable.0["refresh"] != ON_TIME_RANGE_CHANGE);
    stale.map(|variable| format!("{} is not asked for again", variable.name())).collect()
}

/// The linter wants the opposite: these files are edited in Grafana and exported again.
pub fn editable(board: &Board) -> Vec<String> {
    if board.json["editable"] == true { Vec::new() } else { vec!["cannot be edited".into()] }
}
