//! The reader that each concern's settings are taken from.

use super::{
    document,
    entry::Entry,
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
    reads_files: bool,
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

/// Everything that is wrong with a configuration; shown as one line each.
#[derive(Debug, thiserror::Error)]
pub struct Faults(Vec<String>);

impl Reader {
    /// Collects what the sources hold; reads no key yet.
    pub fn new(sources: Sources) -> Self {
        let mut collected = Collected::from(sources);
        let faults = std::mem::take(&mut collected.faults);
        Self { collected, entries: Vec::new(), faults, reads_files: true }
    }

    /// Reads a whole configuration by `read`, and gives it as a commented document as well, without secrets.
    ///
    /// # Errors
    /// Every fault of every source at once.
    pub fn load<C>(sources: Sources, read: fn(&mut Self) -> C) -> Result<(C, String), Faults> {
        let mut reader = Self::new(sources);
        let config = read(&mut reader);
        reader.finish().map(|document| (config, document))
    }

    /// Reads by `read` what a running service is asked by. Nothing else is read: a key file or other settings
    /// that broke since the start are no reason to call it unwell.
    ///
    /// # Errors
    /// As [`Self::load`], of these keys alone.
    pub fn load_part<C>(sources: Sources, read: fn(&mut Self) -> C) -> Result<C, Faults> {
        let mut reader = Self::new(sources).leaving_files();
        let part = read(&mut reader);
        reader.partly().map(|()| part)
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

    /// The same without a look into the files that settings name: who only asks a running service does not
    /// judge them.
    fn leaving_files(self) -> Self {
        Self { reads_files: false, ..self }
    }

    /// Whether faults of the files that settings name are to be found too.
    pub fn reads_files(&self) -> bool {
        self.reads_files
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

    /// What has been read so far, where the other keys are nobody's matter.
    ///
    /// # Errors
    /// All faults of the sources and of the keys that were read.
    fn partly(self) -> Result<(), Faults> {
        if self.faults.is_empty() { Ok(()) } else { Err(Faults(self.faults)) }
    }

    fn entry<T: Parse>(
        &self,
        key: &'static str,
        default: Option<&'static str>,
        meaning: &'static str,
    ) -> Entry {
        Entry::of::<T>(key, default, meaning, self.collected.given.get(key).cloned())
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
        Entry { is_variable: true, ..Entry::of::<T>(name, default, meaning, given) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::{ExposeSecret, SecretString};
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};

    #[test]
    fn a_variable_of_others_is_read_by_its_own_name_and_an_empty_one_is_unset() {
        let mut reader = Reader::for_tests(&[("RUST_LOG", "debug"), ("OTEL_EMPTY", ""), ("OTEL_OTHER", "x")]);
        assert_eq!(reader.environment::<String>("RUST_LOG", "info", "log filter"), "debug");
        assert_eq!(reader.environment::<u32>("OTEL_EMPTY", "7", "a number"), 7);
        assert_eq!(reader.environment_optional::<String>("OTEL_ABSENT", "a text"), None);
        assert!(reader.finish().unwrap().contains("# RUST_LOG: log filter\n#   now \"debug\""));
    }

    #[test]
    fn a_secret_is_read_and_not_printed() {
        let mut reader = Reader::for_tests(&[("a.key", "canary"), ("OTEL_HEADERS", "canary")]);
        let key = reader.optional::<SecretString>("a.key", "a key").unwrap();
        let headers = reader.environment_optional::<SecretString>("OTEL_HEADERS", "headers").unwrap();
        assert_eq!((key.expose_secret(), headers.expose_secret()), ("canary", "canary"));
        let document = reader.finish().unwrap();
        assert!(document.contains("OTEL_HEADERS: headers\n#   now a secret") && !document.contains("canary"));
    }

    #[test]
    fn a_variable_that_is_not_utf_8_is_a_fault_where_it_is_ours_or_read() {
        let value = || OsString::from_vec(vec![0xff]);
        let names = ["APP_A__B", "RUST_LOG", "UNRELATED"];
        let environment = names.map(|name| (name.into(), value())).to_vec();
        let mut reader = Reader::new(Sources { environment, ..Sources::default() });
        reader.environment::<String>("RUST_LOG", "info", "log filter");
        let faults = reader.finish().unwrap_err().to_string();
        let expected = names[..2].iter().map(|name| sources::not_unicode(name)).collect::<Vec<_>>();
        assert_eq!(faults, expected.join("\n"));
    }

    #[test]
    fn a_fault_leaves_the_default_in_its_place_and_is_one_line() {
        let mut reader = Reader::for_tests(&[("a.number", "x\ny"), ("b\nc", "")]);
        assert_eq!(reader.value_in::<u32>("a.number", "5", "1"..="9", "a number"), 5);
        reader.fault("a.number", "does not go with b".to_owned());
        assert_eq!(reader.finish().unwrap_err().to_string().lines().count(), 3);
    }
}
