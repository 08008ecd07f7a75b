//! Where values come from, merged into one map.

use super::{Fault, PREFIX, Setting, is_below};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};
use toml::de::{DeTable, DeValue};

/// What a configuration is read from, weakest first.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// The process's environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Texts `key=value` from the command line.
    pub set: Vec<String>,
}

impl Sources {
    /// Only these variables: `[("APP_HTTP__LISTEN", "127.0.0.1:0")]`.
    pub fn variables<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let environment = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { environment, ..Self::default() }
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    File { path: PathBuf, line: usize },
    Variable(String),
    CommandLine,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "file:{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::CommandLine => f.write_str("--set"),
        }
    }
}

/// The strongest value of one key.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub variable: String,
    pub text: String,
    pub secret: bool,
    pub source: Source,
}

impl Given {
    /// The value as a fault shows it: of a URL scheme and host, of a secret nothing.
    pub fn shown(&self) -> String {
        match self.text.split_once("://") {
            _ if self.secret => "(a secret)".to_owned(),
            Some((scheme, rest)) => {
                let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
                let host = authority.rsplit('@').next().unwrap_or_default();
                format!("{:?}", format!("{scheme}://{host}/…"))
            }
            None => format!("{:?}", self.text),
        }
    }
}

/// The strongest value of each known key, and what could not be taken from the sources.
pub(super) fn collect(sources: Sources, known: &[Setting]) -> (BTreeMap<String, Given>, Vec<Fault>) {
    let mut collected = Collected { known, given: BTreeMap::new(), faults: Vec::new() };
    if let Some(path) = &sources.file {
        collected.read_file(path);
    }
    for (name, value) in sources.environment {
        collected.read_variable(name, value);
    }
    for (nth, text) in sources.set.iter().enumerate() {
        match text.split_once('=') {
            Some((key, value)) => collected.add(key.trim(), value.to_owned(), Source::CommandLine),
            None => {
                collected
                    .faults
                    .push(Fault::other(format!("--set number {}: write it as key=value", nth + 1)));
            }
        }
    }
    (collected.given, collected.faults)
}

struct Collected<'a> {
    known: &'a [Setting],
    given: BTreeMap<String, Given>,
    faults: Vec<Fault>,
}

impl Collected<'_> {
    fn read_file(&mut self, path: &Path) {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                self.faults.push(Fault::other(format!("file:{}: {error}", path.display())));
                return;
            }
        };
        let line = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        match DeTable::parse(&text) {
            Ok(table) => self.read_table("", table.get_ref(), &|at| Source::File {
                path: path.to_owned(),
                line: line(at),
            }),
            Err(error) => {
                // Its `Display` quotes the line, which may hold a secret.
                let at = line(error.span().map_or(0, |span| span.start));
                self.faults.push(Fault::other(format!("file:{}:{at}: {}", path.display(), error.message())));
            }
        }
    }

    fn read_table(&mut self, above: &str, table: &DeTable<'_>, source: &dyn Fn(usize) -> Source) {
        for (name, value) in table {
            let key = if above.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{above}.{}", name.get_ref())
            };
            let from = source(name.span().start);
            match value.get_ref() {
                DeValue::Table(inner) if !inner.is_empty() => self.read_table(&key, inner, source),
                DeValue::Table(_) if self.known.iter().any(|setting| is_below(&setting.key, &key)) => {}
                DeValue::Array(items) if self.takes_list(&key) => {
                    let items: Vec<_> = items.iter().map(|item| plain(item.get_ref())).collect();
                    self.add(&key, items.join(","), from);
                }
                value => self.add(&key, plain(value), from),
            }
        }
    }

    fn takes_list(&self, key: &str) -> bool {
        self.known.iter().any(|setting| setting.key == key && setting.list)
    }

    /// A variable without `__` is not ours: Kubernetes sets `APP_PORT` for a Service that is named `app`.
    fn read_variable(&mut self, name: OsString, value: OsString) {
        let Ok(name) = name.into_string() else { return };
        let ours = name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
        if !ours || !name.contains("__") {
            return;
        }
        let known =
            self.known.iter().find(|setting| setting.variable == name).map(|setting| setting.key.clone());
        match (known, value.into_string()) {
            (Some(key), Ok(text)) => self.add(&key, text, Source::Variable(name)),
            (Some(key), Err(_)) => {
                self.faults.push(Fault::unread(&key, &Source::Variable(name), "is not UTF-8"));
            }
            (None, _) => self.unknown(&key_of(&name), &Source::Variable(name)),
        }
    }

    fn add(&mut self, key: &str, text: String, source: Source) {
        let Some(setting) = self.known.iter().find(|setting| setting.key == key) else {
            return self.unknown(key, &source);
        };
        let text =
            if setting.list { text.split(',').map(str::trim).collect::<Vec<_>>().join(",") } else { text };
        let given = Given { variable: setting.variable.clone(), secret: setting.secret, text, source };
        if given.text.is_empty() && setting.default.as_deref() != Some("") {
            // An empty list is the default; an empty value of anything else is a mistake.
            self.given.remove(key);
            if !setting.list {
                let problem = "is empty; remove it or give it a value";
                self.faults.push(Fault::unread(key, &given.source, problem));
            }
        } else if given.secret && given.source == Source::CommandLine {
            let variable = given.variable;
            let problem =
                format!("is a secret, which others see on the command line; set {variable} instead");
            self.faults.push(Fault::unread(key, &given.source, &problem));
        } else {
            self.given.insert(key.to_owned(), given);
        }
    }

    /// Never shows the value, which may be a secret under a misspelled name.
    fn unknown(&mut self, key: &str, source: &Source) {
        let spelled = |setting: &Setting| match source {
            Source::Variable(_) => setting.variable.clone(),
            Source::File { .. } | Source::CommandLine => setting.key.clone(),
        };
        let inner = self.known.iter().find(|setting| setting.key != key && is_below(&setting.key, key));
        let hint = if let Some(inner) = inner {
            format!("is a section; set one of its keys, such as {}", spelled(inner))
        } else if let Some(near) = nearest(key, self.known) {
            format!("unknown key; did you mean {}?", spelled(near))
        } else {
            "unknown key; config.example.toml lists all keys".to_owned()
        };
        self.faults.push(Fault::unread(key, source, &hint));
    }
}

/// A TOML value as it would be written in a variable.
fn plain(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(on) => on.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn key_of(variable: &str) -> String {
    variable.get(PREFIX.len()..).unwrap_or_default().to_lowercase().replace("__", ".")
}

fn nearest<'a>(key: &str, known: &'a [Setting]) -> Option<&'a Setting> {
    let similarity = |setting: &Setting| strsim::jaro_winkler(key, &setting.key);
    let nearest = known.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
    (similarity(nearest) > 0.9).then_some(nearest)
}
