//! The names under which the sources put values into spans and lines, read out of `tracing`'s macros.

use std::{collections::BTreeSet, fs, path::Path};

const LINES: [&str; 5] = ["error!(", "warn!(", "info!(", "debug!(", "trace!("];
const SPANS: [&str; 3] = ["info_span!(", "debug_span!(", "error_span!("];

/// Names of fields in a source's lines, and in its spans.
#[derive(Default)]
pub struct Fields {
    pub of_lines: BTreeSet<String>,
    pub of_spans: BTreeSet<String>,
}

impl Fields {
    /// Of every source under a folder.
    pub fn under(folder: &Path) -> Self {
        let mut fields = Self::default();
        fields.collect(folder);
        fields
    }

    fn collect(&mut self, path: &Path) {
        if path.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| self.collect(&entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            self.read(&fs::read_to_string(path).unwrap());
        }
    }

    pub fn read(&mut self, source: &str) {
        // What tests say never leaves the machine.
        let source = source.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let code: String =
            source.lines().map(|line| line.split("// ").next().unwrap_or("").to_owned() + "\n").collect();
        LINES.iter().for_each(|name| self.of_lines.extend(in_macros(&code, name)));
        SPANS.iter().for_each(|name| self.of_spans.extend(in_macros(&code, name)));
    }
}

fn in_macros(code: &str, name: &str) -> Vec<String> {
    let calls = code
        .match_indices(name)
        .filter(|(at, _)| !code[..*at].ends_with(|before: char| before.is_alphanumeric() || before == '_'));
    calls.flat_map(|(at, _)| arguments(&code[at + name.len()..])).filter_map(|part| field(&part)).collect()
}

/// The arguments of a call, up to its closing bracket.
fn arguments(code: &str) -> Vec<String> {
    let (mut parts, mut part, mut depth, mut quoted) = (Vec::new(), String::new(), 0_u32, false);
    for character in code.chars() {
        match character {
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' if !quoted && depth == 0 => break,
            ')' | ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(character);
    }
    parts.push(part);
    parts
}

/// The name of an argument that is a field: `name = value`, `"name" = value`, `%name`, `?name` or `name`.
fn field(argument: &str) -> Option<String> {
    let argument = argument.trim();
    let (name, given) = argument.split_once(" = ").map_or((argument, false), |(name, _)| (name, true));
    let quoted = name.starts_with('"');
    let name = name.trim_start_matches(['%', '?']).trim_matches('"');
    let plain = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || "._".contains(character)
    };
    let is_name = !name.is_empty()
        && name.chars().all(plain)
        && !name.starts_with(|first: char| first.is_ascii_digit());
    // A quoted text alone is the message or the span's name.
    (is_name && (given || !quoted)).then(|| name.to_owned())
}

#[test]
fn each_way_to_write_a_field_is_understood() {
    let mut fields = Fields::default();
    fields.read(
        r#"
        info!(job_id = %id, attempt, ?code, %error, "attempt finished, {x}");
        let span = info_span!(target: "x", "process", db.system.name = "sqlite", "server.port" = port(1, 2), parent: None);
        my_info!(nothing);
        // info!(comment);
        "#,
    );
    let told: Vec<&str> = fields.of_lines.iter().map(String::as_str).collect();
    assert_eq!(told, ["attempt", "code", "error", "job_id"]);
    let told: Vec<&str> = fields.of_spans.iter().map(String::as_str).collect();
    assert_eq!(told, ["db.system.name", "server.port"]);
}
