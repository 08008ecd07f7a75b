//! Where settings come from, and collecting them: what a key means is not known here.

use super::toml_file;
use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

/// Prefix of the environment variables that are settings.
const PREFIX: &str = "APP_";

/// What the settings are read from, weakest first (below all of them are the defaults).
#[derive(Default)]
pub struct Sources {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// The process's environment: `APP_HTTP__LISTEN` is `http.listen`, whatever its case.
    pub environment: Vec<(OsString, OsString)>,
    /// `key=value` texts of the command line.
    pub command_line: Vec<String>,
}

/// How a value is written in a TOML file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Integer,
    Boolean,
    /// An array of strings; elsewhere a text with commas.
    List,
    /// A TOML table.
    Table,
    /// Anything else that TOML knows and no setting is.
    Other,
    /// From the environment or the command line, where everything is text.
    Untyped,
}

impl Kind {
    /// As a fault calls it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Text => "a string in quotes",
            Self::Integer => "a whole number without quotes",
            Self::Boolean => "true or false without quotes",
            Self::List => "an array of strings",
            Self::Table => "a table",
            Self::Other => "a float, a date or a mixed array",
            Self::Untyped => "a text",
        }
    }
}

/// Where one value came from, shown in faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    File { path: PathBuf, line: usize },
    Environment { variable: String },
    CommandLine,
}

/// One value as it was given.
#[derive(Clone)]
pub(super) struct Given {
    pub key: String,
    pub text: String,
    pub kind: Kind,
    pub source: Source,
}

impl Given {
    /// The key as its source writes it, and the source.
    pub fn origin(&self) -> String {
        match &self.source {
            Source::File { path, line } => format!("{} ({}, line {line})", self.key, path.display()),
            Source::Environment { variable } => format!("{variable} (environment)"),
            Source::CommandLine => format!("{} (command line)", self.key),
        }
    }

    fn same_source(&self, other: &Self) -> bool {
        std::mem::discriminant(&self.source) == std::mem::discriminant(&other.source)
    }
}

/// The values of all sources, and what could not be taken from them.
#[derive(Default)]
pub(super) struct Collected {
    /// The strongest value of each key.
    pub given: BTreeMap<String, Given>,
    /// Variables that are no settings of ours, as `RUST_LOG`.
    pub environment: BTreeMap<String, OsString>,
    pub faults: Vec<String>,
}

impl Collected {
    /// Reads all sources, weakest first, so that a stronger value replaces a weaker one.
    pub fn from(sources: Sources) -> Self {
        let mut all = Self::default();
        if let Some(path) = &sources.file {
            let (given, faults) = toml_file::read(path);
            all.faults.extend(faults);
            given.into_iter().for_each(|given| all.add(given));
        }
        for (name, value) in sources.environment {
            all.add_variable(name, value);
        }
        for (nth, text) in sources.command_line.into_iter().enumerate() {
            all.add_argument(nth + 1, &text);
        }
        all
    }

    fn add(&mut self, given: Given) {
        if let Some(weaker) = self.given.get(&given.key).filter(|before| before.same_source(&given)) {
            self.faults.push(format!(
                "{}: given twice, also as {}; remove one",
                given.origin(),
                weaker.origin()
            ));
        }
        self.given.insert(given.key.clone(), given);
    }

    fn add_variable(&mut self, name: OsString, value: OsString) {
        let variable = name.to_string_lossy().into_owned();
        let Some(key) = key_of(&variable) else {
            self.environment.insert(variable, value);
            return;
        };
        match value.into_string() {
            Ok(text) => {
                self.add(Given { key, text, kind: Kind::Untyped, source: Source::Environment { variable } });
            }
            Err(_) => self.faults.push(not_unicode(&variable)),
        }
    }

    fn add_argument(&mut self, nth: usize, argument: &str) {
        // The argument is not repeated: who forgot the `=` may have pasted a secret.
        let Some((key, text)) = argument.split_once('=') else {
            self.faults.push(format!("--set, number {nth} (command line): write it as key=value"));
            return;
        };
        let (key, text) = (key.trim().to_owned(), text.to_owned());
        self.add(Given { key, text, kind: Kind::Untyped, source: Source::CommandLine });
    }
}

/// The fault of a variable that is not UTF-8.
pub(super) fn not_unicode(variable: &str) -> String {
    format!("{variable} (environment): is not UTF-8 text")
}

/// The environment variable that sets `key`.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"))
}

/// The key that an environment variable sets, if it is one of ours.
fn key_of(variable: &str) -> Option<String> {
    let (prefix, levels) = variable.split_at_checked(PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PREFIX).then(|| levels.to_ascii_lowercase().replace("__", "."))
}
