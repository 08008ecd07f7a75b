//! Reads dashboard files as Grafana does: panels out of their rows, queries, variables and what is put in
//! their place. What the files have to hold is judged by the tests.

use crate::root;
use serde_json::Value;
use std::fs;

/// A dashboard file; what it lacks reads as empty.
#[derive(Clone, Debug)]
pub struct Board {
    /// From the root of the repository.
    pub file: String,
    pub json: Value,
}

/// A panel of a [`Board`], a row aside.
#[derive(Clone, Copy, Debug)]
pub struct Panel<'a>(pub &'a Value);

/// A query of a [`Panel`].
#[derive(Clone, Copy, Debug)]
pub struct Target<'a>(pub &'a Value);

/// A variable of a [`Board`].
#[derive(Clone, Copy, Debug)]
pub struct Variable<'a>(pub &'a Value);

/// What is chosen on top of a dashboard. Without a value it is "All".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub job: Option<String>,
    pub instance: Option<String>,
    /// As PromQL writes durations; four times the scrape interval, at least.
    pub rate_interval: String,
    /// The whole time that is looked at.
    pub range: String,
}

/// All dashboards of the repository by file name; the error names the file that can't be read.
pub fn boards() -> Result<Vec<Board>, String> {
    let folder = root().join("dashboards");
    let entries = fs::read_dir(&folder).map_err(|error| format!("dashboards: {error}"))?;
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".json")).collect();
    names.sort();
    names.into_iter().map(|name| board(&format!("dashboards/{name}"))).collect()
}

fn board(file: &str) -> Result<Board, String> {
    let text = fs::read_to_string(root().join(file)).map_err(|error| format!("{file}: {error}"))?;
    let json = serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))?;
    Ok(Board { file: file.to_owned(), json })
}

impl Board {
    pub fn uid(&self) -> &str {
        text(&self.json["uid"])
    }

    pub fn title(&self) -> &str {
        text(&self.json["title"])
    }

    /// All panels, also those inside a closed row, without the rows themselves.
    pub fn panels(&self) -> Vec<Panel<'_>> {
        let outer = items(&self.json["panels"]);
        let all = outer.iter().flat_map(|panel| std::iter::once(panel).chain(items(&panel["panels"])));
        all.map(Panel).filter(|panel| panel.kind() != "row").collect()
    }

    pub fn variables(&self) -> Vec<Variable<'_>> {
        items(&self.json["templating"]["list"]).iter().map(Variable).collect()
    }

    /// Queries of annotations, drawn over all panels.
    pub fn annotations(&self) -> &[Value] {
        items(&self.json["annotations"]["list"])
    }
}

impl<'a> Panel<'a> {
    pub fn id(self) -> u64 {
        self.0["id"].as_u64().unwrap_or_default()
    }

    /// As `timeseries`.
    pub fn kind(self) -> &'a str {
        text(&self.0["type"])
    }

    pub fn title(self) -> &'a str {
        text(&self.0["title"])
    }

    pub fn targets(self) -> Vec<Target<'a>> {
        items(&self.0["targets"]).iter().map(Target).collect()
    }

    /// Links of the panel's head and those of its values.
    pub fn links(self) -> impl Iterator<Item = &'a Value> {
        let overrides = items(&self.0["fieldConfig"]["overrides"]);
        let of_override = overrides.iter().flat_map(|one| items(&one["properties"]));
        let of_override = of_override.filter(|property| property["id"] == "links");
        items(&self.0["links"])
            .iter()
            .chain(items(&self.0["fieldConfig"]["defaults"]["links"]))
            .chain(of_override.flat_map(|property| items(&property["value"])))
    }
}

impl<'a> Target<'a> {
    /// The query with its variables.
    pub fn expr(self) -> &'a str {
        text(&self.0["expr"])
    }

    pub fn legend(self) -> &'a str {
        text(&self.0["legendFormat"])
    }

    pub fn exemplar(self) -> bool {
        self.0["exemplar"] == true
    }

    /// The type of the data source that is asked, as `prometheus`.
    pub fn source(self) -> &'a str {
        text(&self.0["datasource"]["type"])
    }
}

impl<'a> Variable<'a> {
    pub fn name(self) -> &'a str {
        text(&self.0["name"])
    }

    /// As `query` or `datasource`.
    pub fn kind(self) -> &'a str {
        text(&self.0["type"])
    }

    /// As `label_values(build_info, job)`; both forms that Grafana writes are read.
    pub fn query(self) -> &'a str {
        match &self.0["query"] {
            Value::Object(fields) => fields.get("query").map_or("", text),
            other => text(other),
        }
    }
}

/// A query as Grafana asks it, with this choice made: `$name` is the one form that queries here have.
pub fn expand(expr: &str, choice: &Choice) -> String {
    let picked = |value: &Option<String>| value.as_deref().map_or_else(|| ".+".to_owned(), as_regex);
    expr.replace("$__rate_interval", &choice.rate_interval)
        .replace("$__range", &choice.range)
        .replace("$job", &picked(&choice.job))
        .replace("$instance", &picked(&choice.instance))
}

/// A chosen value inside a matcher `=~"…"`: its special characters escaped for the expression, the
/// backslashes once more for the string.
fn as_regex(value: &str) -> String {
    let special = |char: char| r"\^$.*+?()[]{}|".contains(char);
    value
        .chars()
        .flat_map(|char| special(char).then_some(r"\\").into_iter().flat_map(str::chars).chain([char]))
        .collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn variables_are_replaced_by_what_is_chosen() {
        let choice = |instance: Option<&str>| {
            let instance = instance.map(str::to_owned);
            Choice { job: None, instance, rate_interval: "20s".into(), range: "5m".into() }
        };
        let expr = r#"rate(a{job=~"$job",i=~"$instance"}[$__rate_interval]) + b[$__range]"#;
        assert_eq!(expand(expr, &choice(None)), r#"rate(a{job=~".+",i=~".+"}[20s]) + b[5m]"#);
        let one = expand(r#"a{i=~"$instance"}"#, &choice(Some("127.0.0.1:1")));
        assert_eq!(one, r#"a{i=~"127\\.0\\.0\\.1:1"}"#);
    }

    #[test]
    fn panels_of_closed_rows_are_read_and_rows_are_not() {
        let row =
            json!({ "type": "row", "panels": [{ "type": "stat", "id": 3, "targets": [{ "expr": "up" }] }] });
        let json = json!({ "panels": [{ "type": "table", "id": 1 }, row] });
        let board = Board { file: String::new(), json };
        let panels = board.panels();
        assert_eq!(panels.iter().map(|panel| panel.id()).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(panels[1].targets()[0].expr(), "up");
        assert!(panels[0].targets().is_empty() && board.uid().is_empty());
    }

    #[test]
    fn links_of_values_count_as_those_of_the_panel() {
        let links = json!({ "links": [{ "url": "b" }] });
        let property = json!({ "id": "links", "value": [{ "url": "c" }] });
        let json = json!({
            "links": [{ "url": "a" }],
            "fieldConfig": { "defaults": links, "overrides": [{ "properties": [property] }] },
        });
        let urls: Vec<_> = Panel(&json).links().map(|link| link["url"].clone()).collect();
        assert_eq!(urls, ["a", "b", "c"]);
    }
}
