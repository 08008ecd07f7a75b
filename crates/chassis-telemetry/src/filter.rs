//! Which events become log lines, and which spans exist.
//!
//! `RUST_LOG` decides on lines alone. Spans exist, with their ids, whatever it says: a line keeps its ids, and a trace
//! its spans, at any log level.

use std::{collections::HashSet, sync::Arc};

use parking_lot::RwLock;
use tracing::{Level, Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{Layer, Registry, filter::Targets, layer::Context};

use crate::bridge::Sampling;

/// Spans below this level do not exist.
const SPAN_LEVEL: Level = Level::DEBUG;
/// Crates whose spans do not exist: transport noise, and the exporter's own calls would feed the exporter.
const NOISE: &str = "h2 hyper hyper_util hickory_net hickory_proto hickory_resolver opentelemetry_otlp reqwest rustls tokio \
    tonic tower";
/// Further crates that a log filter may name before they wrote anything.
const LIBRARIES: &str = "axum axum_server http metrics_exporter_prometheus mio opentelemetry opentelemetry_sdk sqlx \
    tower_governor tower_http want";
const OWN: &str = "chassis";
/// OpenTelemetry's own log, which the line layer reads but does not write.
pub(crate) const OPENTELEMETRY: &str = "opentelemetry";

/// The filter on lines, which can be changed while the process runs. Cheap to clone.
#[derive(Clone)]
pub struct LogFilter(Arc<Shared>);

struct Shared {
    lines: RwLock<Targets>,
    /// Targets whose lines below WARN are written.
    line_targets: Vec<&'static str>,
    /// Crates that have a span or event.
    seen: RwLock<HashSet<&'static str>>,
}

impl LogFilter {
    pub(crate) fn new(line_targets: &[&'static str]) -> Self {
        let line_targets = line_targets.to_vec();
        // Warnings about the first filter are written whatever it says.
        let lines = RwLock::new(Targets::new().with_default(Level::WARN));
        Self(Arc::new(Shared { lines, line_targets, seen: RwLock::default() }))
    }

    /// Sets another filter in the form of `RUST_LOG`: `level` or `target=level`, joined by commas.
    ///
    /// # Errors
    /// A directive is neither; the filter before stays. The text is not repeated, since it may come from outside.
    pub fn set(&self, text: &str) -> Result<(), String> {
        let (targets, unknown) = self.parse(text);
        let numbers: Vec<_> = unknown.iter().map(|(number, _)| number.to_string()).collect();
        if !numbers.is_empty() {
            return Err(format!("directive {} {EXPECTED}", numbers.join(", ")));
        }
        self.apply(targets);
        Ok(())
    }

    /// The first filter, without the directives that mean nothing, and what to say about those.
    pub(crate) fn first(&self, text: &str) -> (Targets, Vec<String>) {
        let (targets, unknown) = self.parse(text);
        let nothing_left = targets.iter().next().is_none() && targets.default_level().is_none();
        let warnings = unknown
            .into_iter()
            .map(|(_, directive)| format!("RUST_LOG: `{directive}` {EXPECTED}; it is ignored"));
        (if nothing_left { Targets::new().with_default(Level::INFO) } else { targets }, warnings.collect())
    }

    pub(crate) fn apply(&self, targets: Targets) {
        *self.0.lines.write() = targets;
        tracing::callsite::rebuild_interest_cache();
    }

    /// The filter, and the directives that mean nothing with their number from 1.
    fn parse<'t>(&self, text: &'t str) -> (Targets, Vec<(usize, &'t str)>) {
        let (mut targets, mut unknown) = (Targets::new(), Vec::new());
        let directives = text.split(',').map(str::trim).zip(1..);
        for (directive, number) in directives.filter(|(directive, _)| !directive.is_empty()) {
            let parsed = match directive.split_once('=') {
                None => match level(directive) {
                    Some(level) => Some((None, level)),
                    None => self.knows(directive).then_some((Some(directive), LevelFilter::TRACE)),
                },
                Some((target, text)) => {
                    level(text).filter(|_| self.knows(target)).map(|level| (Some(target), level))
                }
            };
            match parsed {
                Some((Some(target), level)) => targets = targets.with_target(target, level),
                Some((None, level)) => targets = targets.with_default(level),
                None => unknown.push((number, directive)),
            }
        }
        (targets, unknown)
    }

    fn knows(&self, target: &str) -> bool {
        let name = crate_of(target);
        let listed = has(NOISE, name) || has(LIBRARIES, name) || name.starts_with(OWN);
        listed
            || self.0.line_targets.iter().any(|own| crate_of(own) == name)
            || self.0.seen.read().contains(name)
    }
}

const EXPECTED: &str =
    "is neither a level (off, error, warn, info, debug, trace) nor `target=level` with a known target";

fn level(text: &str) -> Option<LevelFilter> {
    if text.is_empty() { None } else { text.parse().ok() }
}

fn has(list: &str, name: &str) -> bool {
    list.split(' ').any(|other| other == name)
}

fn crate_of(target: &str) -> &str {
    target.split("::").next().unwrap_or(target)
}

/// The layer that decides for all others: what it refuses costs nothing.
pub(crate) struct Gate {
    filter: LogFilter,
    sampling: Sampling,
}

impl Gate {
    pub fn new(filter: LogFilter, sampling: Sampling) -> Self {
        Self { filter, sampling }
    }

    pub fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    fn passes(&self, meta: &Metadata<'_>) -> bool {
        let (level, target, shared) = (*meta.level(), meta.target(), &*self.filter.0);
        if meta.is_span() {
            return level <= SPAN_LEVEL && !has(NOISE, crate_of(target));
        }
        if target.starts_with(OPENTELEMETRY) {
            return level <= Level::WARN;
        }
        let within = |own: &str| {
            target.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let may_say = level <= Level::WARN
            || crate_of(target).starts_with(OWN)
            || shared.line_targets.iter().any(|own| within(own));
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

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let lines = Layer::<Registry>::max_level_hint(&*self.filter.0.lines.read());
        lines.map(|lines| lines.max(SPAN_LEVEL.into()))
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
            assert_eq!(filter().parse(&good.replace(" = ", "=")).1, [], "{good}");
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
        let (targets, warnings) = filter().first("warning");
        assert!(targets.would_enable("my_service", &Level::INFO) && warnings.len() == 1);
        let (targets, warnings) = filter().first("error,infoo");
        assert!(!targets.would_enable("my_service", &Level::WARN) && warnings.len() == 1);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = filter().set(&text);
        }
    }
}
