//! Where values come from, merged into one map.

use super::{Checks, Fault, Setting, is_below};
use reqwest::Url;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};
use toml::Value;

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
    File(PathBuf),
    Variable(String),
    CommandLine,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::CommandLine => f.write_str("--set"),
        }
    }
}

/// The strongest value of one key.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub text: String,
    pub secret: bool,
    /// Whether the key's name says that it is an address, which may hold a password anywhere.
    pub url: bool,
    pub source: Source,
}

impl Given {
    /// The value as a fault shows it: of a URL scheme and host, of a secret and of what should be a URL nothing.
    pub fn shown(&self) -> String {
        if self.url && !self.secret {
            return self.origin().map_or_else(|| "(not shown)".to_owned(), |origin| format!("{origin:?}"));
        }
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

    /// Of a URL, what holds no secret.
    fn origin(&self) -> Option<String> {
        let url = Url::parse(&self.text).ok().filter(|url| !url.cannot_be_a_base())?;
        let (host, port) = (url.host_str().unwrap_or_default(), url.port());
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{}://{host}{port}/…", url.scheme()))
    }
}

fn read_file(path: &Path) -> Result<toml::Table, Fault> {
    let fault = |problem: &str| Fault::other(format!("file:{}{problem}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| fault(&format!(": {error}")))?;
    text.parse().map_err(|error: toml::de::Error| {
        // The whole message quotes the line, which may hold a secret.
        let before = text.get(..error.span().unwrap_or_default().start).unwrap_or_default();
        fault(&format!(":{}: {}", 1 + before.matches('\n').count(), error.message()))
    })
}

impl<'a> Checks<'a> {
    /// Reads the sources, weakest first, so that a stronger value replaces a weaker one.
    pub(super) fn new(sources: Sources, known: &'a [Setting], prefix: &str) -> Self {
        let mut checks = Self { known, given: BTreeMap::new(), faults: Vec::new() };
        if let Some(path) = sources.file {
            match read_file(&path) {
                Ok(table) => checks.add_table("", table, &Source::File(path)),
                Err(fault) => checks.faults.push(fault),
            }
        }
        for (name, value) in sources.environment {
            checks.add_variable(prefix, name, value);
        }
        for (nth, text) in (1..).zip(&sources.set) {
            match text.split_once('=') {
                Some((key, value)) => checks.add(key.trim(), value.to_owned(), &Source::CommandLine),
                None => {
                    checks.faults.push(Fault::other(format!("--set number {nth}: write it as key=value")))
                }
            }
        }
        checks
    }

    fn add_table(&mut self, above: &str, table: toml::Table, source: &Source) {
        for (name, value) in table {
            let key = if above.is_empty() { name } else { format!("{above}.{name}") };
            match value {
                Value::Table(table) if !table.is_empty() => self.add_table(&key, table, source),
                Value::Table(_) if self.known.iter().any(|setting| is_below(&setting.key, &key)) => {}
                Value::Array(items)
                    if self.known.iter().any(|setting| setting.key == key && setting.list) =>
                {
                    self.add(&key, items.into_iter().map(plain).collect::<Vec<_>>().join(","), source);
                }
                value => self.add(&key, plain(value), source),
            }
        }
    }

    /// A variable without `__` is not ours: Kubernetes sets `APP_PORT` for a Service that is named `app`.
    fn add_variable(&mut self, prefix: &str, name: OsString, value: OsString) {
        let Ok(name) = name.into_string() else { return };
        let Some((begin, rest)) = name.split_at_checked(prefix.len()) else { return };
        if !begin.eq_ignore_ascii_case(prefix) || !rest.contains("__") {
            return;
        }
        let key = rest.to_lowercase().replace("__", ".");
        let source = Source::Variable(name);
        match value.into_string() {
            Ok(text) => self.add(&key, text, &source),
            Err(_) => self.faults.push(Fault::unread(&key, &source, "is not UTF-8")),
        }
    }

    fn add(&mut self, key: &str, text: String, source: &Source) {
        let misspelled =
            |setting: &Setting| matches!(source, Source::Variable(name) if *name != setting.variable);
        let setting = self.known.iter().find(|setting| setting.key == key && !misspelled(setting));
        let Some(setting) = setting else { return self.unknown(key, source) };
        let text =
            if setting.list { text.split(',').map(str::trim).collect::<Vec<_>>().join(",") } else { text };
        if text.is_empty() && setting.list {
            // An empty list is the default.
            self.given.remove(key);
        } else if text.is_empty() && setting.default.as_deref() != Some("") {
            self.faults.push(Fault::unread(key, source, "is empty; remove it or give it a value"));
        } else if setting.secret && *source == Source::CommandLine {
            let problem = "is a secret, which others see on the command line; set";
            self.faults.push(Fault::unread(key, source, &format!("{problem} {} instead", setting.variable)));
        } else {
            let url = key.rsplit('.').next() == Some("url");
            let given = Given { text, secret: setting.secret, url, source: source.clone() };
            self.given.insert(key.to_owned(), given);
        }
    }

    /// Does not show the value, which may be a secret under a misspelled name.
    fn unknown(&mut self, key: &str, source: &Source) {
        let spelled = |setting: &Setting| match source {
            Source::Variable(_) => setting.variable.clone(),
            Source::File(_) | Source::CommandLine => setting.key.clone(),
        };
        let inner = self.known.iter().find(|setting| setting.key != key && is_below(&setting.key, key));
        let similarity = |setting: &Setting| strsim::jaro_winkler(key, &setting.key);
        let nearest = self.known.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
        let problem = match (inner, nearest.filter(|nearest| similarity(nearest) > 0.9)) {
            (Some(inner), _) => format!("is a section; set one of its keys, such as {}", spelled(inner)),
            (None, Some(near)) => format!("unknown key; did you mean {}?", spelled(near)),
            (None, None) => "unknown key; config.example.toml lists all keys".to_owned(),
        };
        self.faults.push(Fault::unread(key, source, &problem));
    }
}

/// A TOML value as it would be written in a variable.
fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        value => value.to_string(),
    }
}
