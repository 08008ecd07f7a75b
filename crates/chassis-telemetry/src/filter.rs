//! Which events become log lines, and which spans exist.
//!
//! `RUST_LOG` decides on lines alone. Spans exist, with their ids, whatever it says: a line keeps its ids, and a trace
//! its spans, at any log level.

use std::{collections::HashSet, sync::Arc};

use parking_lot::RwLock;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber, subscriber::Interest};
use tracing_subscriber::{Layer, filter::Targets, layer::Context};

use crate::bridge::Sampling;

/// Spans below this level do not exist.
const SPAN_LEVEL: Level = Level::DEBUG;
/// Crates whose spans do not exist: transport noise, and the exporter's own calls would feed the exporter.
const NOISE: &str = "h2 hyper hyper_util hickory_net hickory_proto hickory_resolver opentelemetry_otlp reqwest rustls \
    tokio tonic tower";
/// Further crates that a log filter may name before they wrote anything.
const LIBRARIES: &str = "axum axum_server http metrics_exporter_prometheus mio opentelemetry opentelemetry_sdk sqlx \
    tower_governor tower_http want";
/// OpenTelemetry's own log, which the line layer reads but does not write.
pub(crate) const OPENTELEMETRY: &str = "opentelemetry";
const EXPECTED: &str =
    "is neither a level (off, error, warn, info, debug, trace) nor `target=level` with a known target";

/// The filter on lines, which can be changed while the process runs. Cheap to clone.
#[derive(Clone)]
pub struct LogFilter(Arc<Shared>);

struct Shared {
    lines: RwLock<Targets>,
    /// Targets, by how they begin, whose lines below WARN are written.
    line_targets: Vec<&'static str>,
    /// Crates that have a span or event.
    seen: RwLock<HashSet<&'static str>>,
}

impl LogFilter {
    pub(crate) fn new(line_targets: &[&'static str]) -> Self {
        let line_targets = [&["chassis"], line_targets].concat();
        let lines = RwLock::new(Targets::new().with_default(Level::WARN));
        Self(Arc::new(Shared { lines, line_targets, seen: RwLock::default() }))
    }

    /// Sets another filter in the form of `RUST_LOG`: `level` or `target=level`, joined by commas.
    ///
    /// # Errors
    /// A directive is neither; the filter before stays. The text is not repeated, since it may come from outside.
    pub fn set(&self, text: &str) -> Result<(), String> {
        let (targets, problem) = self.parse(text);
        problem.map_or(Ok(()), Err)?;
        self.apply(targets);
        Ok(())
    }

    /// Sets the first filter, without the directives that mean nothing, and warns of them and of `warnings`.
    pub(crate) fn begin(&self, text: &str, warnings: &[String]) {
        let (targets, problem) = self.parse(text);
        let problem = problem.map(|problem| format!("RUST_LOG: {problem}; it is ignored"));
        // Written whatever the filter says.
        warnings.iter().chain(&problem).for_each(|warning| tracing::warn!("{warning}"));
        let usual = targets.iter().next().is_none() && targets.default_level().is_none();
        self.apply(if usual { targets.with_default(Level::INFO) } else { targets });
    }

    fn apply(&self, targets: Targets) {
        *self.0.lines.write() = targets;
        tracing::callsite::rebuild_interest_cache();
    }

    /// The filter of those directives that mean something, and which do not.
    fn parse(&self, text: &str) -> (Targets, Option<String>) {
        let (mut targets, mut unknown) = (Targets::new(), Vec::new());
        let level = |text: &str| text.parse::<LevelFilter>().ok().filter(|_| !text.is_empty());
        let directives = text.split(',').map(str::trim).zip(1..);
        for (directive, number) in directives.filter(|(directive, _)| !directive.is_empty()) {
            let (target, text) = directive.split_once('=').unwrap_or((directive, "trace"));
            match (level(directive), level(text).filter(|_| self.knows(target))) {
                (Some(level), _) => targets = targets.with_default(level),
                (_, Some(level)) => targets = targets.with_target(target, level),
                _ => unknown.push(number.to_string()),
            }
        }
        (targets, (!unknown.is_empty()).then(|| format!("directive {} {EXPECTED}", unknown.join(", "))))
    }

    fn knows(&self, target: &str) -> bool {
        let (name, own) = (crate_of(target), &self.0.line_targets);
        let listed = has(NOISE, name) || has(LIBRARIES, name) || self.0.seen.read().contains(name);
        listed || own.iter().any(|own| target.starts_with(own) || crate_of(own) == name)
    }
}

fn has(list: &str, name: &str) -> bool {
    list.split(' ').any(|other| other == name)
}

fn crate_of(target: &str) -> &str {
    target.split("::").next().unwrap_or(target)
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
            return level <= SPAN_LEVEL && !has(NOISE, crate_of(target));
        }
        if target.starts_with(OPENTELEMETRY) {
            return level <= Level::WARN;
        }
        let may_say = level <= Level::WARN || shared.line_targets.iter().any(|own| target.starts_with(own));
        may_say && shared.lines.read().would_enable(target, &level)
    }
}

impl<S: Subscriber> Layer<S> for Gate {
    fn register_callsite(&self, meta: &'static Metadata<'static>) -> Interest {
        self.filter.0.seen.write().insert(crate_of(meta.target()));
        if self.passes(meta) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, meta: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.passes(meta)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter() -> LogFilter {
        LogFilter::new(&["my_service", "sqlx::query"])
    }

    #[test]
    fn levels_and_known_targets_are_taken() {
        for good in
            ["", "info", "WARN", "off", "debug,hyper=warn", " info , my_service::http = debug".trim(), "h2"]
        {
            assert_eq!(filter().parse(&good.replace(" = ", "=")).1, None, "{good}");
        }
    }

    #[test]
    fn what_names_neither_a_level_nor_a_known_target_is_refused_and_changes_nothing() {
        for bad in
            ["warning", "infoo", "info;debug", "a=b=c", "infoo=debug", "hyper=loud", "=info", "[span]=debug"]
        {
            let filter = filter();
            filter.set("error").unwrap();
            assert!(filter.set(&format!("debug,{bad}")).unwrap_err().starts_with("directive 2 "), "{bad}");
            assert!(!filter.0.lines.read().would_enable("my_service", &Level::WARN), "{bad}");
        }
    }

    #[test]
    fn the_first_filter_goes_without_what_means_nothing() {
        for (text, info, error) in
            [("warning", true, true), ("error,infoo", false, true), ("off", false, false)]
        {
            let filter = filter();
            filter.begin(text, &[]);
            let lines = filter.0.lines.read();
            let passes = |level| lines.would_enable("my_service", &level);
            assert_eq!((passes(Level::INFO), passes(Level::ERROR)), (info, error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = filter().set(&text);
        }
    }
}
