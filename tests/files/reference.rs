//! The tables of docs/reference.md that the code makes: metrics out of the catalogue, settings out of config.example.toml, alerts out of
//! the rules.

use crate::{alerts::alerts, dashboards::exported::catalogue, root};
use chassis_telemetry::catalogue::{Kind, Metric, Values};
use std::fs;

/// All metrics with type, labels and meaning.
fn metrics() -> String {
    let head = "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    catalogue().fold(head, |table, metric| table + &row(metric))
}

fn row(metric: &Metric) -> String {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let labels: Vec<String> = metric.labels.iter().map(|(label, values)| cell(label, *values)).collect();
    let open = metric.labels.iter().filter_map(|(label, values)| match values {
        Values::Open(told) if !told.is_empty() => Some(format!("; `{label}`: {told}")),
        _ => None,
    });
    let store = if metric.store_wide {
        " Every replica of a store reports the same: `max by (store, …)`, then `sum`."
    } else {
        ""
    };
    let meaning: String = [metric.help.trim_end_matches('.').to_owned()].into_iter().chain(open).collect();
    format!("| `{}` | {kind} | {} | {meaning}.{store} |\n", metric.name, labels.join(", "))
}

/// A label with its values, as `` `channel`=`a`\|`b` ``.
fn cell(label: &str, values: Values) -> String {
    match values {
        Values::Open(_) => format!("`{label}`"),
        Values::Closed(values) => {
            let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            format!("`{label}`={}", values.join(r"\|"))
        }
    }
}

/// Every setting with its default and meaning.
fn settings() -> String {
    let text = fs::read_to_string(root().join("config.example.toml")).unwrap();
    let mut table = "| variable | default | meaning |\n| --- | --- | --- |\n".to_owned();
    let mut meaning: Vec<&str> = Vec::new();
    let mut variable = None;
    for line in text.lines() {
        match (line.strip_prefix("# "), variable) {
            (Some(comment), None) if comment.starts_with("APP_") => variable = Some(comment),
            (Some(comment), None) => meaning.push(comment),
            (_, Some(name)) => {
                let default =
                    line.trim_start_matches("# ").split_once('=').map_or("", |(_, value)| value.trim());
                let default = if matches!(default, "" | "[]") {
                    "–".to_owned()
                } else {
                    format!("`{}`", default.trim_matches('"'))
                };
                table += &format!("| `{name}` | {default} | {} |\n", meaning.join(" ").replace('|', r"\|"));
                (meaning, variable) = (Vec::new(), None);
            }
            (None, None) => meaning.clear(),
        }
    }
    table
}

/// Every alert with whom it calls and what it means.
fn alert_table() -> String {
    let head = "| alert | severity | summary | runbook |\n| --- | --- | --- | --- |\n".to_owned();
    alerts().iter().fold(head, |table, alert| {
        let (severity, summary) = (alert.text("labels", "severity"), alert.text("annotations", "summary"));
        let runbook = alert.text("annotations", "runbook_url").rsplit('/').next().unwrap_or_default();
        table
            + &format!(
                "| `{}` | {severity} | {summary} | [{0}](../deploy/runbooks/{runbook}) |\n",
                alert.name
            )
    })
}

#[test]
fn the_reference_has_the_tables_that_the_code_makes() {
    let path = root().join("docs/reference.md");
    let page = fs::read_to_string(&path).unwrap();
    let made = [("settings", settings()), ("metrics", metrics()), ("alerts", alert_table())];
    let fresh = made.into_iter().fold(page, |page, (name, table)| {
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- {name} end -->"));
        let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no mark {begin}"));
        let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no mark {end}"));
        format!("{before}{begin}\n{table}\n{end}{after}")
    });
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == fresh,
        "docs/reference.md is stale: UPDATE_EXPECT=1 cargo test writes it"
    );
}
