//! What is wrong with a configuration: read from the message of `conf`, shown as a line each.

use super::{Setting, is_below, sources::Given};
use std::{collections::BTreeMap, fmt};

/// One fault, as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key, or the section whose keys do not go together; empty if it is about no key.
    pub(super) key: String,
    text: String,
}

/// Everything that is wrong with a configuration; shown as a line for each fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults(Vec<Fault>);

impl Fault {
    /// A fault of no known key.
    pub(super) fn other(text: impl Into<String>) -> Self {
        Self { key: String::new(), text: text.into() }
    }

    /// A fault of `key` that has nothing to do with its value.
    pub(super) fn unread(key: &str, source: &impl fmt::Display, problem: &str) -> Self {
        Self { key: key.to_owned(), text: format!("{key} ({source}): {problem}") }
    }

    /// A fault of the value of `key`, or of the values below it.
    pub(super) fn of(key: &str, given: &BTreeMap<String, Given>, problem: &str) -> Self {
        if let Some(given) = given.get(key) {
            let text = format!("{key} = {} ({}): {problem}", given.shown(), given.source);
            return Self { key: key.to_owned(), text };
        }
        let below = given.iter().filter(|(given, _)| is_below(given, key));
        let sources: Vec<_> = below.map(|(_, given)| given.source.to_string()).collect();
        let sources = if sources.is_empty() { "default".to_owned() } else { sources.join(", ") };
        Self::unread(key, &sources, problem)
    }

    /// Whether it is about the value of `key`.
    pub(super) fn concerns(&self, key: &str) -> bool {
        is_below(key, &self.key)
    }
}

impl From<Vec<Fault>> for Faults {
    fn from(mut faults: Vec<Fault>) -> Self {
        // Those of one key keep their order.
        faults.sort_by(|one, other| one.key.cmp(&other.key));
        Self(faults)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(|fault| fault.text.replace(char::is_control, "?")).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// The faults in a message of `conf`, which has no other form of them. What is looked for is spelled out from
/// what `conf` was given; the tests notice when a release of it says something else.
pub(super) fn read(message: &str, known: &[Setting], given: &BTreeMap<String, Given>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for setting in known {
        for rest in after(message, &format!("when parsing env '{}' value", setting.variable)) {
            // A secret is followed by the reason, anything else by the value in quotes.
            let value = given.get(&setting.key).map(|one| format!(" '{}': ", one.text)).unwrap_or_default();
            let rest = rest.strip_prefix(&value).or_else(|| rest.split_once(": ").map(|(_, rest)| rest));
            let problem = explained(reason(rest.unwrap_or_default()), setting, given);
            faults.push(Fault::of(&setting.key, given, &problem));
        }
        if message.contains(&format!("\n  env '{}' must be provided", setting.variable)) {
            let problem = format!("is required; set {} or {}", setting.key, setting.variable);
            faults.push(Fault::unread(&setting.key, &"not set", &problem));
        }
    }
    for rest in after(message, " value was invalid") {
        let (field, rest) =
            rest.strip_prefix(" (@ .").and_then(|rest| rest.split_once(".): ")).unwrap_or(("", rest));
        let problem = reason(rest.trim_start_matches(": "));
        faults.push(match section(field, known) {
            "" => Fault::other(problem),
            section => Fault::of(section, given, &problem),
        });
    }
    if faults.is_empty() {
        faults.push(Fault::other(message.trim()));
    }
    faults
}

/// What follows each occurrence of `text`.
fn after<'a>(message: &'a str, text: &str) -> Vec<&'a str> {
    message.match_indices(text).filter_map(|(at, found)| message.get(at + found.len()..)).collect()
}

/// The lines up to the next fault, which is indented less.
fn reason(text: &str) -> String {
    let lines = text.lines().enumerate().take_while(|(nth, line)| *nth == 0 || line.starts_with("    "));
    let lines: Vec<_> = lines.map(|(_, line)| line.trim()).filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}

/// A reason without what must not be shown, and with the default as an example of what is right.
fn explained(reason: String, setting: &Setting, given: &BTreeMap<String, Given>) -> String {
    let reason = match given.get(&setting.key) {
        Some(given) if given.shown() != format!("{:?}", given.text) => reason.replace(&given.text, "…"),
        _ => reason,
    };
    match &setting.default {
        Some(default) if !default.is_empty() => format!("{reason} (the default is {default})"),
        _ => reason,
    }
}

/// The section, or the one key, of the struct at `field` of the configuration: a struct that is flattened without a
/// prefix is no level of a key.
fn section<'a>(field: &str, known: &'a [Setting]) -> &'a str {
    let mut keys = known.iter().filter(|one| is_below(&one.field, field)).map(|one| one.key.as_str());
    let mut section = keys.next().unwrap_or_default();
    for key in keys {
        while !section.is_empty() && !is_below(key, section) {
            section = section.rsplit_once('.').map_or("", |(above, _)| above);
        }
    }
    section
}
