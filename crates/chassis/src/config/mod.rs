//! Configuration: defaults, then a TOML file, then the environment, then `--set key=value`.
//!
//! Sections are structs that derive [`conf::Conf`]. The loader merges the sources into one map, which `conf` reads
//! as if it were the environment: its own reader of documents does not name the key of a wrong value. A key follows
//! from the name of its variable: `APP_HTTP__LISTEN` is `http.listen`, in TOML `listen` of `[http]`.

mod example;
mod faults;
mod sources;

pub use example::{Setting, example, settings};
pub use faults::{Fault, Faults};
pub use sources::Sources;

use conf::Conf;
use sources::Given;
use std::collections::BTreeMap;

/// What the names of all variables of the configuration begin with.
pub const PREFIX: &str = "APP_";

/// The whole configuration of a program.
///
/// Every option has a default or is an `Option`: what is required is checked in [`Self::check`], so that a health
/// check can read the address of the admin listener whatever else is wrong.
pub trait Settings: Conf {
    /// Reports what is wrong between sections, beside the faults of single values.
    fn check(&self, _checks: &mut Checks<'_>) {}
}

/// Loads a configuration.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load<C: Settings>(sources: Sources) -> Result<C, Faults> {
    let known = settings::<C>();
    let (mut given, mut faults) = sources::collect(sources, &known);
    let Some(config) = parse::<C>(&known, &mut given, &mut faults) else { return Err(Faults::from(faults)) };
    config.check(&mut Checks { known: &known, given: &given, faults: &mut faults });
    if faults.is_empty() { Ok(config) } else { Err(Faults::from(faults)) }
}

/// Loads only the keys below `section`, and the defaults of all others, without any checks between sections.
///
/// # Errors
/// Everything that is wrong with this section.
pub fn load_section<C: Conf>(sources: Sources, section: &str) -> Result<C, Faults> {
    let mut known = settings::<C>();
    known.retain(|setting| is_below(&setting.key, section));
    let (mut given, mut faults) = sources::collect(sources, &known);
    faults.retain(|fault| fault.key.as_deref().is_none_or(|key| is_below(key, section)));
    let config = parse::<C>(&known, &mut given, &mut faults);
    config.filter(|_| faults.is_empty()).ok_or_else(|| Faults::from(faults))
}

/// Parses what is given. Values with faults are removed and the rest is parsed again, so that one fault does not
/// hide another.
fn parse<C: Conf>(
    known: &[Setting],
    given: &mut BTreeMap<String, Given>,
    faults: &mut Vec<Fault>,
) -> Option<C> {
    loop {
        let environment = given.iter().map(|(_, given)| (given.variable.clone(), given.text.clone()));
        let error = match C::conf_builder().args(["configuration"]).env(environment).try_parse() {
            Ok(config) => return Some(config),
            Err(error) => error.to_string(),
        };
        let before = given.len();
        for fault in faults::read(&error, known, given) {
            given.retain(|key, _| !fault.concerns(key));
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
        if given.len() == before {
            return None;
        }
    }
}

/// Whether `key` is `section` or below it.
fn is_below(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Collects the faults that [`Settings::check`] finds.
pub struct Checks<'a> {
    known: &'a [Setting],
    given: &'a BTreeMap<String, Given>,
    faults: &'a mut Vec<Fault>,
}

impl Checks<'_> {
    /// Reports a fault of `key`: `problem` says what is wrong and how to fix it.
    pub fn fault(&mut self, key: &str, problem: impl Into<String>) {
        debug_assert!(self.known.iter().any(|setting| is_below(&setting.key, key)), "no key {key}");
        if !self.is_faulty(key) {
            self.faults.push(Fault::of(key, self.given, &problem.into()));
        }
    }

    /// Reports every key below `section` that is set to something else than its default, though it has no effect
    /// because of the value of `decided_by`. `problem` says why and what to do.
    pub fn no_effect(&mut self, section: &str, decided_by: &str, problem: &str) {
        if self.is_faulty(decided_by) {
            return;
        }
        let (known, given) = (self.known, self.given);
        let set = known.iter().filter(|setting| is_below(&setting.key, section));
        for setting in set.filter(|setting| is_set(setting, given)) {
            self.fault(&setting.key, format!("has no effect: {problem}"));
        }
    }

    /// Whether `key` is set to something else than its default.
    pub fn is_set(&self, key: &str) -> bool {
        self.known.iter().any(|setting| setting.key == key && is_set(setting, self.given))
    }

    fn is_faulty(&self, key: &str) -> bool {
        self.faults.iter().any(|fault| fault.key.as_deref() == Some(key))
    }
}

fn is_set(setting: &Setting, given: &BTreeMap<String, Given>) -> bool {
    given.get(&setting.key).is_some_and(|given| setting.default.as_deref() != Some(&given.text))
}
