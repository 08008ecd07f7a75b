//! Rules of Prometheus as values, and the text of a rule file. What the rules say is not here.

use crate::rules::{alert::Alert, yaml};
use std::fmt::Write as _;

/// Rules that are evaluated one after the other, each on what the ones before it recorded.
pub struct Group {
    pub name: String,
    pub rules: Vec<Rule>,
}

pub enum Rule {
    Record(Record),
    Alert(Box<Alert>),
}

impl From<Alert> for Rule {
    fn from(alert: Alert) -> Self {
        Self::Alert(Box::new(alert))
    }
}

/// A series that is recorded.
pub struct Record {
    pub name: String,
    pub expr: String,
    pub labels: Vec<(&'static str, String)>,
}

/// The text of a rule file; `head` says what it is about.
pub fn text(head: &str, groups: &[Group]) -> String {
    let mut text = yaml::head(head);
    text.push_str("groups:\n");
    for group in groups {
        let _ = writeln!(text, "  - name: {}\n    rules:", group.name);
        for rule in &group.rules {
            match rule {
                Rule::Record(record) => record.write(&mut text),
                Rule::Alert(alert) => write_alert(alert, &mut text),
            }
        }
    }
    text
}

impl Record {
    fn write(&self, text: &mut String) {
        let _ = writeln!(text, "      - record: {}", self.name);
        text.push_str(&yaml::block("expr", &self.expr, 8));
        text.push_str(&yaml::map("labels", &self.labels, 8));
    }
}

fn write_alert(alert: &Alert, text: &mut String) {
    text.push_str(&yaml::comment(&alert.why, 6));
    let _ = writeln!(text, "      - alert: {}", alert.name);
    text.push_str(&yaml::block("expr", &alert.expr, 8));
    if alert.hold != "0s" {
        let _ = writeln!(text, "        for: {}", alert.hold);
    }
    text.push_str(&yaml::map("labels", &alert.labels(), 8));
    text.push_str(&yaml::map("annotations", &alert.annotations(), 8));
}
