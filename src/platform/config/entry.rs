//! A key as it was read, with everything that faults and the printed document say of it.

use super::{
    Parse,
    sources::{Given, Kind, Source},
};
use std::ops::RangeInclusive;

/// What `--print-config` prints and what unknown keys are compared with.
pub(super) struct Entry {
    pub key: &'static str,
    pub default: Option<&'static str>,
    pub range: Option<RangeInclusive<&'static str>>,
    pub meaning: &'static str,
    pub kind: Kind,
    /// Read from a variable of this very name, not a key of ours.
    pub is_variable: bool,
    pub secret: bool,
    pub given: Option<Given>,
}

impl Entry {
    /// An entry of a key of the configuration, without bounds.
    pub fn of<T: Parse>(
        key: &'static str,
        default: Option<&'static str>,
        meaning: &'static str,
        given: Option<Given>,
    ) -> Self {
        let secret = given.as_ref().is_some_and(|given| T::is_secret(&given.text));
        Self { key, default, range: None, meaning, kind: T::KIND, is_variable: false, secret, given }
    }

    /// Whether the value may come from where it did, and is written as its kind.
    pub fn check(&self, given: &Given) -> Result<(), String> {
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

    /// The fault of a value out of its bounds.
    pub fn bounds(&self) -> String {
        self.range
            .as_ref()
            .map_or_else(String::new, |range| format!("must be from {} to {}", range.start(), range.end()))
    }
}
