//! Which events become log lines, and which spans exist.
//!
//! `RUST_LOG` decides on lines alone. Spans exist, with their ids, whatever it says: a line keeps its ids, and a trace
//! its spans, at any log level.

use std::sync::Arc;

use parking_lot::RwLock;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{Layer, filter::Targets, layer::Context};

use crate::bridge::Sampling;

/// Spans below this level do not exist.
const SPAN_LEVEL: Level = Level::DEBUG;
/// Crates whose spans do not exist: transport noise, and the exporter's own calls would feed the exporter.
const NOISE: &str = "h2 hyper hyper_util hickory_net hickory_proto hickory_resolver opentelemetry_otlp reqwest rustls \
    tokio tonic tower";
/// OpenTelemetry's own log, which the line layer reads but does not write.
pub(crate) const OPENTELEMETRY: &str = "opentelemetry";
/// What a filter looks like.
pub(crate) const FORM: &str =
    "level or target=level, joined by commas, where a level is off, error, warn, info, debug or trace";

/// The filter on lines, which can be changed while the process runs. Cheap to clone.
#[derive(Clone)]
pub struct LogFilter(Arc<Shared>);

struct Shared {
    lines: RwLock<Targets>,
    /// Targets, by how they begin, whose lines below WARN are written.
    line_targets: Vec<&'static str>,
}

impl LogFilter {
    pub(crate) fn new(line_targets: &[&'static str]) -> Self {
        let line_targets = [&["chassis"], line_targets].concat();
        let lines = RwLock::new(Targets::new().with_default(Level::WARN));
        Self(Arc::new(Shared { lines, line_targets }))
    }

    /// Sets another filter in the form of `RUST_LOG`: `level` or `target=level`, joined by commas. What no directive
    /// names stays at INFO.
    ///
    /// # Errors
    /// A directive is neither; the filter before stays. The text is not repeated, since it may come from outside.
    pub fn set(&self, text: &str) -> Result<(), String> {
        let lines = parse(text).ok_or_else(|| format!("expected {FORM}"))?;
        self.apply(lines);
        Ok(())
    }

    pub(crate) fn apply(&self, lines: Targets) {
        *self.0.lines.write() = lines;
        tracing::callsite::rebuild_interest_cache();
    }
}

pub(crate) fn usual() -> Targets {
    Targets::new().with_default(Level::INFO)
}

/// `Targets` itself takes a word that is no level for a target, so that a slip silences everything.
pub(crate) fn parse(text: &str) -> Option<Targets> {
    let level = |text: &str| text.trim().parse::<LevelFilter>().ok();
    let path = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte))
    };
    let mut directives = text.split(',').map(str::trim).filter(|directive| !directive.is_empty());
    directives.try_fold(usual(), |targets, directive| {
        let Some((target, text)) = directive.split_once('=') else {
            return Some(targets.with_default(level(directive)?));
        };
        Some(targets.with_target(Some(target.trim()).filter(|target| path(target))?, level(text)?))
    })
}

/// The layer that decides for all others: what it refuses costs nothing.
pub(crate) struct Gate {
    pub filter: LogFilter,
    pub sampling: Sampling,
}

impl Gate {
    fn passes(&self, meta: &Metadata<'_>) -> bool {
        let (level, target, shared) = (*meta.level(), meta.target(), &*self.filter.0);
        if meta.is_span() {
            let is_noise = NOISE.split(' ').any(|noise| target.split("::").next() == Some(noise));
            return level <= SPAN_LEVEL && !is_noise;
        }
        if target.starts_with(OPENTELEMETRY) {
            return level <= Level::WARN;
        }
        let may_say = level <= Level::WARN || shared.line_targets.iter().any(|own| target.starts_with(own));
        may_say && shared.lines.read().would_enable(target, &level)
    }
}

impl<S: Subscriber> Layer<S> for Gate {
    fn enabled(&self, meta: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.passes(meta)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passes(targets: &Targets, target: &str) -> (bool, bool) {
        (targets.would_enable(target, &Level::INFO), targets.would_enable(target, &Level::ERROR))
    }

    #[test]
    fn levels_and_targets_are_taken_and_what_is_not_named_stays_at_info() {
        for (text, named, other) in [
            ("", (true, true), (true, true)),
            (" WARN ", (false, true), (false, true)),
            ("off", (false, false), (false, false)),
            ("a::b=warn", (false, true), (true, true)),
            ("off, a::b = info", (true, true), (false, false)),
        ] {
            let targets = parse(text).unwrap();
            assert_eq!((passes(&targets, "a::b::c"), passes(&targets, "other")), (named, other), "{text}");
        }
    }

    #[test]
    fn what_is_neither_a_level_nor_a_targets_level_is_refused_and_changes_nothing() {
        for bad in ["warning", "infoo", "info;debug", "a=b=c", "h2", "hyper=loud", "=info", "[span]=debug"] {
            let filter = LogFilter::new(&[]);
            filter.set("error").unwrap();
            assert!(filter.set(&format!("debug,{bad}")).is_err(), "{bad}");
            assert!(!filter.0.lines.read().would_enable("chassis", &Level::WARN), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}
