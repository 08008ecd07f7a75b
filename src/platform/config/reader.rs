//! The reader that each concern's settings are taken from.

use super::{
    document,
    sources::{self, Collected, Given, Kind, Source, Sources},
    unknown,
};
use std::{fmt, ops::RangeInclusive};

/// Where the settings of one concern are read from: defaults, TOML file, environment, command line.
///
/// A fault is collected, and the default returned in its place, so that one run names them all.
pub struct Reader {
    collected: Collected,
    entries: Vec<Entry>,
    faults: Vec<String>,
}

/// A value that can be read from its text.
pub trait Parse: Sized {
    /// How a TOML file writes it.
    const KIND: Kind = Kind::Text;

    /// Says what is wrong and what would be right (`must be …`), without repeating the text: it may
    /// be a secret.
    fn parse(text: &str) -> Result<Self, String>;

    /// Whether this text must be neither printed nor given on the command line, where others see it.
    fn is_secret(_text: &str) -> bool {
        false
    }
}

/// A key as it was read: what `--print-config` prints and what unknown keys are compared with.
pub(super) struct Entry {
    pub key: &'static str,
    pub default: Option<&'static str>,
    pub range: Option<RangeInclusive<&'static str>>,
    pub meaning: &'static str,
    pub kind: Kind,
    /// Read from a variable of this very name, not a key of ours.
    pub is_variable: bool,
    pub built: bool,
    pub secret: bool,
    pub given: Option<Given>,
}

/// Everything that is wrong with a configuration; shown as one line each.
#[derive(Debug, thiserror::Error)]
pub struct Faults(Vec<String>);

impl Reader {
    /// Collects what the sources hold; reads no key yet.
    pub fn new(sources: Sources) -> Self {
        let mut collected = Collected::from(sources);
        let faults = std::mem::take(&mut collected.faults);
        Self { collected, entries: Vec::new(), faults }
    }

    /// A reader of these values alone: `http.listen` is a key, `RUST_LOG` a variable.
    pub fn for_tests(values: &[(&str, &str)]) -> Self {
        let variable = |name: &str| match name.contains(|c: char| c.is_ascii_uppercase()) {
            true => name.into(),
            false => sources::variable_of(name).into(),
        };
        let environment = values.iter().map(|(name, text)| (variable(name), text.into())).collect();
        Self::new(Sources { environment, ..Sources::default() })
    }

    /// The value of `key` (as `http.listen`); `default` and `meaning` are printed by `--print-config`.
    pub fn value<T: Parse>(&mut self, key: &'static str, default: &'static str, meaning: &'static str) -> T {
        let entry = self.entry::<T>(key, Some(default), meaning);
        self.take(entry, |_| true).unwrap_or_else(|| built_in(key, default))
    }

    /// [`Self::value`] within bounds, both of which belong to it and are written like the value.
    pub fn value_in<T: Parse + PartialOrd>(
        &mut self,
        key: &'static str,
        default: &'static str,
        range: RangeInclusive<&'static str>,
        meaning: &'static str,
    ) -> T {
        let bounds = built_in::<T>(key, range.start())..=built_in::<T>(key, range.end());
        let entry = Entry { range: Some(range), ..self.entry::<T>(key, Some(default), meaning) };
        self.take(entry, |value| bounds.contains(value)).unwrap_or_else(|| built_in(key, default))
    }

    /// The value of a key that has no default.
    pub fn optional<T: Parse>(&mut self, key: &'static str, meaning: &'static str) -> Option<T> {
        let entry = self.entry::<T>(key, None, meaning);
        self.take(entry, |_| true)
    }

    /// The value of an environment variable that is no key of ours, as `RUST_LOG`; an empty one counts as unset.
    pub fn environment<T: Parse>(
        &mut self,
        name: &'static str,
        default: &'static str,
        meaning: &'static str,
    ) -> T {
        let entry = self.variable::<T>(name, Some(default), meaning);
        self.take(entry, |_| true).unwrap_or_else(|| built_in(name, default))
    }

    /// The value of such a variable that has no default.
    pub fn environment_optional<T: Parse>(&mut self, name: &'static str, meaning: &'static str) -> Option<T> {
        let entry = self.variable::<T>(name, None, meaning);
        self.take(entry, |_| true)
    }

    /// Collects a fault on `key` that concerns several keys together; `fault` says what and the fix.
    pub fn fault(&mut self, key: &'static str, fault: String) {
        let given = self.entries.iter().find(|entry| entry.key == key).and_then(|entry| entry.given.as_ref());
        let origin = given.map_or_else(|| format!("{key} (default)"), Given::origin);
        self.faults.push(format!("{origin}: {fault}"));
    }

    /// Says of the keys read so far that begin with `prefix` that nothing obeys them yet.
    pub fn not_built_yet(&mut self, prefix: &str) {
        self.entries
            .iter_mut()
            .filter(|entry| entry.key.starts_with(prefix))
            .for_each(|entry| entry.built = false);
    }

    /// The keys that were set though nothing obeys them yet.
    pub fn unbuilt(&self) -> Vec<&'static str> {
        self.entries
            .iter()
            .filter(|entry| !entry.built && entry.given.is_some())
            .map(|entry| entry.key)
            .collect()
    }

    /// The whole configuration as a commented TOML document, once every key has been read.
    ///
    /// # Errors
    /// All faults, those of keys that nobody read among them.
    pub fn finish(mut self) -> Result<String, Faults> {
        let keys: Vec<_> =
            self.entries.iter().filter(|entry| !entry.is_variable).map(|entry| entry.key).collect();
        self.faults.extend(self.collected.given.values().filter_map(|given| unknown::fault(given, &keys)));
        if self.faults.is_empty() { Ok(document::render(&self.entries)) } else { Err(Faults(self.faults)) }
    }

    fn entry<T: Parse>(
        &self,
        key: &'static str,
        default: Option<&'static str>,
        meaning: &'static str,
    ) -> Entry {
        let given = self.collected.given.get(key).cloned();
        let secret = given.as_ref().is_some_and(|given| T::is_secret(&given.text));
        Entry {
            key,
            default,
            range: None,
            meaning,
            kind: T::KIND,
            is_variable: false,
            built: true,
            secret,
            given,
        }
    }

    fn variable<T: Parse>(
        &mut self,
        name: &'static str,
        default: Option<&'static str>,
        meaning: &'static str,
    ) -> Entry {
        let text = match self.collected.environment.get(name).map(|value| value.to_str()) {
            Some(None) => {
                self.faults.push(sources::not_unicode(name));
                None
            }
            found => found.flatten().filter(|text| !text.is_empty()).map(str::to_owned),
        };
        let source = Source::Environment { variable: name.to_owned() };
        let given = text.map(|text| Given { key: name.to_owned(), text, kind: Kind::Untyped, source });
        let secret = given.as_ref().is_some_and(|given| T::is_secret(&given.text));
        Entry {
            key: name,
            default,
            range: None,
            meaning,
            kind: T::KIND,
            is_variable: true,
            built: true,
            secret,
            given,
        }
    }

    /// Parses what was given, keeps the entry, and collects the fault if there is one.
    fn take<T: Parse>(&mut self, entry: Entry, is_allowed: impl FnOnce(&T) -> bool) -> Option<T> {
        let parsed = entry.given.as_ref().map(|given| {
            let value = entry.check(given).and_then(|()| T::parse(&given.text));
            let allowed =
                value.and_then(|value| if is_allowed(&value) { Ok(value) } else { Err(entry.bounds()) });
            allowed.map_err(|fault| format!("{}: {fault} ({})", given.origin(), entry.meaning))
        });
        self.entries.push(entry);
        parsed?.map_err(|fault| self.faults.push(fault)).ok()
    }
}

impl Entry {
    fn check(&self, given: &Given) -> Result<(), String> {
        if self.secret && given.source == Source::CommandLine {
            return Err(
                "holds a secret, which others see on a command line; set it in the file or the environment"
                    .to_owned(),
            );
        }
        if given.kind == Kind::Untyped || given.kind == self.kind {
            return Ok(());
        }
        Err(format!("must be {}, not {}", self.kind.as_str(), given.kind.as_str()))
    }

    fn bounds(&self) -> String {
        self.range
            .as_ref()
            .map_or_else(String::new, |range| format!("must be from {} to {}", range.start(), range.end()))
    }
}

/// A value that stands in the code: one that doesn't parse is a defect, which every test of the configuration meets.
fn built_in<T: Parse>(key: &str, text: &str) -> T {
    T::parse(text).unwrap_or_else(|fault| unreachable!("the built-in value of {key} {fault}"))
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, fault) in self.0.iter().enumerate() {
            // A key or a path may hold a line break; a fault is one line.
            let line = fault.replace(char::is_control, "?");
            f.write_str(if nth == 0 { "" } else { "\n" }).and_then(|()| f.write_str(&line))?;
        }
        Ok(())
    }
}
