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
/// Further crates that a filter may name before they wrote anything.
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
    /// Crates that a directive may name besides them: libraries, and what has a span or an event.
    known: RwLock<HashSet<&'static str>>,
}

impl LogFilter {
    pub(crate) fn new(line_targets: &[&'static str]) -> Self {
        let line_targets = [&["chassis"], line_targets].concat();
        let lines = RwLock::new(Targets::new().with_default(Level::WARN));
        let known = RwLock::new(NOISE.split(' ').chain(LIBRARIES.split(' ')).collect());
        Self(Arc::new(Shared { lines, line_targets, known }))
    }

    /// Sets another filter in the form of `RUST_LOG`: `level` or `target=level`, joined by commas. What no directive
    /// names stays at INFO.
    ///
    /// # Errors
    /// A directive is neither, or its target is not known: a slip would change nothing or silence everything. The
    /// filter before stays. The text is not repeated, since it may come from outside.
    pub fn set(&self, text: &str) -> Result<(), String> {
        let (lines, problem) = self.parse(text);
        problem.map_or(Ok(()), Err)?;
        self.apply(lines);
        Ok(())
    }

    /// Sets the first filter, without the directives that mean nothing, and warns of them and of `warnings`.
    pub(crate) fn begin(&self, text: &str, warnings: &[String]) {
        let (lines, problem) = self.parse(text);
        let problem = problem.map(|problem| format!("RUST_LOG: {problem}; it is ignored"));
        // Written whatever the filter says, which is set after them.
        warnings.iter().chain(&problem).for_each(|warning| tracing::warn!("{warning}"));
        self.apply(lines);
    }

    fn apply(&self, lines: Targets) {
        *self.0.lines.write() = lines;
        tracing::callsite::rebuild_interest_cache();
    }

    /// The filter of those directives that mean something, and what is wrong with the others.
    fn parse(&self, text: &str) -> (Targets, Option<String>) {
        let (mut targets, mut wrong) = (Targets::new().with_default(Level::INFO), Vec::new());
        let directives = text.split(',').map(str::trim).zip(1..);
        for (directive, number) in directives.filter(|(directive, _)| !directive.is_empty()) {
            let (target, level) = directive.rsplit_once('=').unwrap_or(("", directive));
            match (target.trim_end(), level.trim_start().parse::<LevelFilter>()) {
                ("", Ok(level)) => targets = targets.with_default(level),
                (target, Ok(level)) if self.knows(target) => targets = targets.with_target(target, level),
                _ => wrong.push(number.to_string()),
            }
        }
        (targets, (!wrong.is_empty()).then(|| format!("directive {} {EXPECTED}", wrong.join(", "))))
    }

    fn knows(&self, target: &str) -> bool {
        let (name, Shared { line_targets, known, .. }) = (crate_of(target), &*self.0);
        known.read().contains(name) || line_targets.iter().any(|own| name.starts_with(crate_of(own)))
    }
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
            let is_noise = NOISE.split(' ').any(|noise| crate_of(target) == noise);
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
    fn register_callsite(&self, meta: &'static Metadata<'static>) -> Interest {
        self.filter.0.known.write().insert(crate_of(meta.target()));
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
    fn levels_and_known_targets_are_taken_and_what_is_not_named_stays_at_info() {
        let passes = |targets: &Targets, target| {
            (targets.would_enable(target, &Level::INFO), targets.would_enable(target, &Level::ERROR))
        };
        for (text, named, other) in [
            ("", (true, true), (true, true)),
            (" WARN ", (false, true), (false, true)),
            ("off", (false, false), (false, false)),
            ("my_service::http=warn", (false, true), (true, true)),
            ("off, my_service::http = info", (true, true), (false, false)),
            ("chassis_queue=off,h2=trace", (true, true), (true, true)),
        ] {
            let (targets, problem) = filter().parse(text);
            assert_eq!(problem, None);
            let passed = (passes(&targets, "my_service::http::api"), passes(&targets, "other"));
            assert_eq!(passed, (named, other), "{text}");
        }
    }

    #[test]
    fn what_names_neither_a_level_nor_a_known_target_is_refused_and_changes_nothing() {
        for bad in [
            "warning", "infoo", "info;debug", "a=b=c", "infoo=debug", "my_servce=debug", "my_service",
            "hyper=loud", "[span]=debug",
        ] {
            let filter = filter();
            filter.set("error").unwrap();
            assert!(filter.set(&format!("debug,{bad}")).unwrap_err().starts_with("directive 2 "), "{bad}");
            assert!(!filter.0.lines.read().would_enable("my_service", &Level::WARN), "{bad}");
            // At start the other directives stay in force.
            assert!(
                filter.parse(&format!("debug,{bad}")).0.would_enable("my_service", &Level::DEBUG),
                "{bad}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = filter().set(&text);
        }
    }
}
