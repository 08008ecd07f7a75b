//! The little of YAML that rule files and their tests take. Strings are written as JSON's, which are YAML's too.

use serde_json::Value;
use std::fmt::Write as _;

/// What a generated file begins with: what it is about, and where it comes from.
pub fn head(about: &str) -> String {
    let made = "\n\nMade by `cargo run -p observability`: change its source, not this file.";
    comment(&format!("{about}{made}"), 0)
}

/// Lines of a comment, each after that many spaces.
pub fn comment(text: &str, indent: usize) -> String {
    text.lines().map(|line| format!("{:indent$}{}\n", "", format!("# {line}").trim_end())).collect()
}

/// A text of one or more lines as it is.
pub fn block(key: &str, value: &str, indent: usize) -> String {
    let lines: String = value.lines().map(|line| format!("{:indent$}  {line}\n", "")).collect();
    format!("{:indent$}{key}: |-\n{lines}", "")
}

pub fn map<V: AsRef<str>>(key: &str, entries: &[(&'static str, V)], indent: usize) -> String {
    let mut text = format!("{:indent$}{key}:\n", "");
    for (name, value) in entries {
        let _ = writeln!(text, "{:indent$}  {name}: {}", "", string(value.as_ref()));
    }
    text
}

pub fn string(value: &str) -> String {
    Value::from(value).to_string()
}
