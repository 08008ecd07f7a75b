//! The configuration as a commented TOML document that can be read back. Secrets are not in it.

use super::{
    entry::Entry,
    sources::{Kind, variable_of},
};
use toml::Value;

const HEAD: &str = "\
# The complete configuration with its effective values.
# Weakest first: defaults, a TOML file like this one (--config FILE), the environment, --set key=value.
";

/// All entries by table, in the order in which they were read; variables last.
pub(super) fn render(entries: &[Entry]) -> String {
    let mut document = HEAD.to_owned();
    let mut tables: Vec<&str> = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.is_variable) {
        let (table, _) = split(entry.key);
        if !tables.contains(&table) {
            tables.push(table);
        }
    }
    for table in tables {
        document.push_str(&format!("\n[{table}]\n"));
        let of_table = |entry: &&Entry| !entry.is_variable && split(entry.key).0 == table;
        entries.iter().filter(of_table).for_each(|entry| document.push_str(&setting(entry)));
    }
    if entries.iter().any(|entry| entry.is_variable) {
        document.push_str("\n# Read from environment variables only:\n");
    }
    entries.iter().filter(|entry| entry.is_variable).for_each(|entry| document.push_str(&variable(entry)));
    document
}

fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('.').unwrap_or(("", key))
}

fn setting(entry: &Entry) -> String {
    let (_, name) = split(entry.key);
    let default = entry.default.map_or_else(|| "none".to_owned(), |text| literal(entry.kind, text));
    let range = entry
        .range
        .as_ref()
        .map_or_else(String::new, |range| format!(", {} to {}", range.start(), range.end()));
    let comment = format!("# {}\n# {}; default {default}{range}\n", entry.meaning, variable_of(entry.key));
    let value = match (&entry.given, entry.default) {
        (Some(given), _) if entry.secret => {
            format!("# {name} = a secret, set by {}", given.origin().escape_debug())
        }
        (Some(given), _) => format!("{name} = {}", literal(entry.kind, &given.text)),
        (None, Some(default)) => format!("{name} = {}", literal(entry.kind, default)),
        (None, None) => format!("# {name} ="),
    };
    format!("{comment}{value}\n")
}

/// A comment, so the value has to stay on its line.
fn variable(entry: &Entry) -> String {
    let shown = |text: &str| if entry.secret { "a secret".to_owned() } else { format!("{text:?}") };
    let given = entry.given.as_ref().map(|given| given.text.as_str());
    let value = given.or(entry.default).map_or_else(|| "unset".to_owned(), shown);
    format!("# {}: {}\n#   now {value}\n", entry.key, entry.meaning)
}

/// A text as TOML writes a value of that kind.
fn literal(kind: Kind, text: &str) -> String {
    let string = |text: &str| Value::String(text.to_owned());
    match kind {
        Kind::Integer => {
            text.parse::<u64>().map_or_else(|_| string(text).to_string(), |number| number.to_string())
        }
        Kind::Boolean => text.to_owned(),
        Kind::List => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(string).collect()).to_string()
        }
        _ => string(text).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{List, Reader, Sources};
    use proptest::prelude::*;
    use std::io::Write;

    fn read(mut reader: Reader) -> (String, Vec<String>, u64, String) {
        let text = reader.value("a.text", "x", "a text");
        let List(items) = reader.value("a.list", "", "a list");
        let number = reader.value("b.c.number", "1", "a number");
        reader.environment_optional::<String>("VARIABLE", "a variable");
        (text, items, number, reader.finish().unwrap())
    }

    proptest! {
        #[test]
        fn whatever_is_printed_is_read_back(
            text in "[\\s\\S]+",
            items in "[^,\\s]+(,[^,\\s]+){0,3}",
            number: u64,
        ) {
            let number = number.to_string();
            let given = [("a.text", text.as_str()), ("a.list", &items), ("b.c.number", &number), ("VARIABLE", &text)];
            let first = read(Reader::for_tests(&given));
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(first.3.as_bytes()).unwrap();
            let second = read(Reader::new(Sources { file: Some(file.path().to_owned()), ..Sources::default() }));
            prop_assert_eq!((first.0, first.1, first.2), (second.0, second.1, second.2));
        }
    }
}
