//! Which events become lines, and which spans are ours.

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber, subscriber::Interest};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::settings::Directives;
use crate::platform::config::Parse;

/// The filter on lines, which can be changed while the service runs.
#[derive(Clone)]
pub struct LogFilter(reload::Handle<EnvFilter, Registry>);

impl LogFilter {
    pub(super) fn new(handle: reload::Handle<EnvFilter, Registry>) -> Self {
        Self(handle)
    }

    /// Sets another filter, in the form of `RUST_LOG`.
    ///
    /// # Errors
    /// Says what is wrong with the filter; the one before stays.
    pub fn set(&self, directives: &str) -> Result<(), String> {
        let filter = Directives::parse(directives)?.filter()?;
        self.0.reload(filter).map_err(|error| error.to_string())
    }
}

/// Lets through this crate's spans of INFO and above alone, whatever `RUST_LOG` says: a library's would
/// cost, tell what nobody asked, and those of the exporter's own client would feed it. Events are never
/// span events.
pub(super) struct OwnSpans {
    root: &'static str,
}

const LEVEL: Level = Level::INFO;

impl OwnSpans {
    pub fn new() -> Self {
        let path = module_path!();
        Self { root: path.split("::").next().unwrap_or(path) }
    }

    fn is_own(&self, meta: &Metadata<'_>) -> bool {
        let rest = meta.target().strip_prefix(self.root);
        meta.is_span()
            && *meta.level() <= LEVEL
            && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }
}

impl<S: Subscriber> Filter<S> for OwnSpans {
    fn enabled(&self, meta: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.is_own(meta)
    }

    fn callsite_enabled(&self, meta: &'static Metadata<'static>) -> Interest {
        if self.is_own(meta) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LEVEL.into())
    }
}
