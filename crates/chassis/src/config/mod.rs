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

/// The whole configuration of a program.
///
/// Every option has a default or is an `Option`: what is required is checked in [`Self::check`], so that a health
/// check can read the address of the admin listener whatever else is wrong.
pub trait Settings: Conf {
    /// What the names of its variables begin with, which is the `env_prefix` of the struct.
    const PREFIX: &'static str = "APP_";

    /// Keys whose default is not that of their section, such as an address that another program has by default.
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[];

    /// Reports what is wrong between sections, beside the faults of single values.
    fn check(&self, _checks: &mut Checks<'_>) {}

    /// What is valid and yet probably not meant: `check-config` shows it, and the service logs it at its start.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Loads a configuration.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load<C: Settings>(sources: Sources) -> Result<C, Faults> {
    let known = settings::<C>();
    let mut checks = Checks::new(sources, &known, C::PREFIX);
    let config = checks.parse::<C>();
    config.iter().for_each(|config| config.check(&mut checks));
    config.filter(|_| checks.faults.is_empty()).ok_or_else(|| Faults::from(checks.faults))
}

/// Loads only the keys below `section`, and the defaults of all others, without any checks between sections.
///
/// # Errors
/// Everything that is wrong with this section.
pub fn load_section<C: Settings>(sources: Sources, section: &str) -> Result<C, Faults> {
    let mut known = settings::<C>();
    known.retain(|setting| is_below(&setting.key, section));
    let mut checks = Checks::new(sources, &known, C::PREFIX);
    checks.faults.retain(|fault| fault.key.is_empty() || is_below(&fault.key, section));
    let config = checks.parse();
    config.filter(|_| checks.faults.is_empty()).ok_or_else(|| Faults::from(checks.faults))
}

/// Whether `key` is `section` or below it.
fn is_below(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The values that are given, and the faults so far; [`Settings::check`] adds its own.
pub struct Checks<'a> {
    known: &'a [Setting],
    /// The strongest value of each key.
    given: BTreeMap<String, Given>,
    faults: Vec<Fault>,
}

impl Checks<'_> {
    /// Reports a fault of `key`: `problem` says what is wrong and how to fix it.
    pub fn fault(&mut self, key: &str, problem: impl Into<String>) {
        self.faults(key, [problem.into()]);
    }

    /// Reports several faults of `key` in this order, such as those of the lines of the file that it names.
    pub fn faults(&mut self, key: &str, problems: impl IntoIterator<Item = String>) {
        debug_assert!(self.known.iter().any(|setting| is_below(&setting.key, key)), "no key {key}");
        if !self.is_faulty(key) {
            let faults = problems.into_iter().map(|problem| Fault::of(key, &self.given, &problem));
            self.faults.extend(faults);
        }
    }

    /// Reports every key below `section` that is set to something else than its default, though it has no effect
    /// because of the value of `decided_by`. `problem` says why and what to do.
    pub fn no_effect(&mut self, section: &str, decided_by: &str, problem: &str) {
        let below = self.known.iter().filter(|setting| is_below(&setting.key, section));
        for setting in below {
            if self.is_set(&setting.key) && !self.is_faulty(decided_by) {
                self.fault(&setting.key, format!("has no effect: {problem}"));
            }
        }
    }

    /// Whether `key` is set to something else than its default.
    pub fn is_set(&self, key: &str) -> bool {
        let (setting, given) = (self.known.iter().find(|setting| setting.key == key), self.given.get(key));
        given.is_some_and(|given| setting.and_then(|setting| setting.default.as_ref()) != Some(&given.text))
    }

    fn is_faulty(&self, key: &str) -> bool {
        self.faults.iter().any(|fault| fault.key == key)
    }

    /// Parses what is given. Values with faults are removed and the rest is parsed again, so that one fault does not
    /// hide another.
    fn parse<C: Conf>(&mut self) -> Option<C> {
        loop {
            let text = |setting: &Setting| {
                let given = self.given.get(&setting.key).map(|given| &given.text);
                given.or(setting.default.as_ref()).cloned()
            };
            let given = self.known.iter().filter_map(|setting| Some((&setting.variable, text(setting)?)));
            let error = match C::conf_builder().args(["configuration"]).env(given).try_parse() {
                Ok(config) => return Some(config),
                Err(error) => error.to_string(),
            };
            let before = self.given.len();
            for fault in faults::read(&error, self.known, &self.given) {
                self.given.retain(|key, _| !fault.concerns(key));
                if !self.faults.contains(&fault) {
                    self.faults.push(fault);
                }
            }
            if self.given.len() == before {
                return None;
            }
        }
    }
}
