//! `cargo xtask dashboards`: checks the dashboards and rules, or brings an export of Grafana's into the form in which it is checked
//! in, so that a change of one panel is a diff of a few lines.

use serde_json::{Map, Value, json};
use std::{
    fs,
    process::{Command, ExitCode},
};

/// What belongs to one Grafana and not to the dashboard.
const OF_ONE_GRAFANA: [&str; 7] =
    ["__elements", "__inputs", "__requires", "gnetId", "id", "iteration", "version"];

/// What Grafana assumes where a key is missing, and writes into every export. Keys without a value go as well.
fn is_default(key: &str, value: &Value) -> bool {
    let default = match key {
        "axisBorderShow" | "axisCenteredZero" | "axisGridShow" | "insertNulls" | "liveNow" | "preload"
        | "transparent" | "hide" | "skipUrlSync" => json!(false),
        "axisColorMode" => json!("text"),
        "axisLabel" | "interval" | "weekStart" | "regex" => json!(""),
        "axisPlacement" => json!("auto"),
        "barAlignment" | "fiscalYearStartMonth" => json!(0),
        "barWidthFactor" => json!(0.6),
        "pointSize" => json!(5),
        "pluginVersion" | "current" => return true,
        "scaleDistribution" => json!({ "type": "linear" }),
        "hideFrom" => json!({ "legend": false, "tooltip": false, "viz": false }),
        "timepicker" => json!({}),
        _ => return value.is_null() && key != "value",
    };
    *value == default
}

/// Checks the files; or normalises those that are named.
pub fn run(words: &[&str]) -> ExitCode {
    match words {
        [] => check(),
        ["normalise", files @ ..] if !files.is_empty() => {
            for file in files {
                if let Err(why) = rewrite(file) {
                    eprintln!("{file}: {why}");
                    return ExitCode::FAILURE;
                }
            }
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: cargo xtask dashboards [normalise FILE…]");
            ExitCode::from(crate::EX_USAGE)
        }
    }
}

fn check() -> ExitCode {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--quiet", "--test", "files"]).current_dir(crate::tools::workspace());
    let status = cargo.status();
    if status.is_ok_and(|status| status.success()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn rewrite(file: &str) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    fs::write(file, normalised(&text)?).map_err(|error| error.to_string())
}

/// The dashboard with sorted keys, two spaces to a level, and nothing that Grafana would assume anyway.
fn normalised(text: &str) -> Result<String, String> {
    let mut board: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    // Exports through the API wrap it.
    if let Some(inner) = board.get_mut("dashboard") {
        board = inner.take();
    }
    let Value::Object(fields) = &mut board else { return Err("not a dashboard".to_owned()) };
    if !fields.contains_key("panels") {
        return Err("not a dashboard: it has no panels".to_owned());
    }
    fields.retain(|key, _| !OF_ONE_GRAFANA.contains(&key.as_str()));
    fields.insert("editable".to_owned(), json!(true));
    strip(fields);
    let text = serde_json::to_string_pretty(&board).map_err(|error| error.to_string())?;
    Ok(text + "\n")
}

fn strip(fields: &mut Map<String, Value>) {
    fields.retain(|key, value| !is_default(key, value));
    fields.values_mut().for_each(strip_value);
    // Written as 1.0 by some, and as 1 by Grafana.
    fields.values_mut().for_each(whole);
}

fn strip_value(value: &mut Value) {
    match value {
        Value::Object(fields) => strip(fields),
        Value::Array(items) => items.iter_mut().for_each(strip_value),
        _ => {}
    }
}

fn whole(value: &mut Value) {
    if let Some(number) = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 1e15) {
        *value = json!(number as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_and_what_is_checked_in_come_to_the_same_text_and_stay_so() {
        let kept = r#"{"panels":[{"id":3,"title":"a","type":"stat","max":1}],"uid":"u"}"#;
        let export = r#"{"dashboard":{"uid":"u","version":7,"id":12,"weekStart":"","editable":false,
            "panels":[{"type":"stat","pluginVersion":"13.0","max":1.0,"title":"a","transparent":false,"id":3}]}}"#;
        let text = normalised(kept).unwrap();
        assert_eq!(normalised(export).unwrap(), text);
        assert_eq!(normalised(&text).unwrap(), text);
        assert!(text.contains("\"id\": 3") && text.contains("\"editable\": true"));
    }

    #[test]
    fn a_threshold_without_a_value_keeps_it() {
        let board = r#"{"panels":[{"steps":[{"color":"green","value":null}]}]}"#;
        assert!(normalised(board).unwrap().contains("\"value\": null"));
    }

    #[test]
    fn what_is_no_dashboard_is_refused() {
        assert!(normalised("{").is_err() && normalised("[]").is_err() && normalised("{}").is_err());
    }
}
