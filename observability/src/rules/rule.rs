//! A rule of Prometheus as a value, and the text of a rule file. What the rules say is not here.

use std::fmt::Write as _;

/// Rules that are evaluated one after the other, each on what the ones before it recorded.
pub struct Group {
    pub name: String,
    pub rules: Vec<Record>,
}

/// A series that is recorded.
pub struct Record {
    pub name: String,
    pub expr: String,
    pub labels: Vec<(&'static str, String)>,
}

/// The text of a rule file; `head` says what it is about.
pub fn text(head: &str, groups: &[Group]) -> String {
    let mut text = comment(head, 0);
    text.push_str("#\n# Made by `cargo run -p observability`: change its source, not this file.\ngroups:\n");
    for group in groups {
        let _ = writeln!(text, "  - name: {}\n    rules:", group.name);
        for rule in &group.rules {
            let _ = writeln!(text, "      - record: {}", rule.name);
            text.push_str(&expression(&rule.expr));
            text.push_str(&map("labels", &rule.labels));
        }
    }
    text
}

/// Lines of a comment, each after that many spaces.
fn comment(text: &str, indent: usize) -> String {
    text.lines().map(|line| format!("{:indent$}# {line}\n", "")).collect()
}

fn expression(expr: &str) -> String {
    let lines: String = expr.lines().map(|line| format!("          {line}\n")).collect();
    format!("        expr: |-\n{lines}")
}

/// A mapping; a string of JSON is one of YAML.
fn map(name: &str, entries: &[(&str, String)]) -> String {
    let mut text = format!("        {name}:\n");
    for (key, value) in entries {
        let _ = writeln!(text, "          {key}: {}", serde_json::Value::from(value.as_str()));
    }
    text
}
