//! What can be said of the files in `deploy` without the programs that read them: what they promise each other,
//! the code and the README. `tests/peers/deploy` has their own programs judge them.

mod compose;
mod fields;
mod grafana;
mod image;
mod kubernetes;
mod loki;
mod prometheus;
mod redaction;

use serde_yaml_ng::Value;
use std::{collections::BTreeSet, fs, path::PathBuf};

/// A file or folder of the repository.
fn repository(path: &str) -> PathBuf {
    crate::root().join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A YAML file with its anchors and merges resolved.
fn yaml(path: &str) -> Value {
    read_yaml(&text(path))
}

fn read_yaml(text: &str) -> Value {
    let mut value: Value = serde_yaml_ng::from_str(text).unwrap();
    value.apply_merge().unwrap();
    value
}

/// The texts of a list; none where there is no list.
fn texts(list: &Value) -> Vec<String> {
    list.as_sequence().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The keys of a mapping; none where there is none.
fn keys(mapping: &Value) -> Vec<String> {
    mapping
        .as_mapping()
        .into_iter()
        .flat_map(|map| map.keys())
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// The setting at a path such as `server.port`.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, key| &value[key])
}

/// The keys of a file that its program does not know: each line of `known` is a section, `:` and its keys.
fn unknown_keys(file: &Value, known: &str) -> Vec<String> {
    let sections = known.lines().filter_map(|line| line.trim().split_once(':'));
    let known: BTreeSet<String> = sections
        .flat_map(|(section, keys)| keys.split_whitespace().map(move |key| joined(section, key)))
        .collect();
    paths("", file).into_iter().filter(|path| !known.contains(path)).collect()
}

/// The path of every key; the items of a list are those of its section.
fn paths(section: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Sequence(items) => items.iter().flat_map(|item| paths(section, item)).collect(),
        Value::Mapping(pairs) => pairs
            .iter()
            .flat_map(|(key, value)| {
                let path = joined(section, key.as_str().unwrap());
                std::iter::once(path.clone()).chain(paths(&path, value)).collect::<Vec<_>>()
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn joined(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}
