//! Which events become lines, and which spans are ours.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber, subscriber::Interest};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::settings::Directives;
use crate::platform::config::Parse;

/// The filter on lines, which can be changed while the service runs.
#[derive(Clone)]
pub struct LogFilter {
    filter: reload::Handle<EnvFilter, Registry>,
    spans: Arc<AtomicBool>,
}

impl LogFilter {
    /// Sets another filter, in the form of `RUST_LOG`.
    ///
    /// # Errors
    /// Says what is wrong with the filter; the one before stays.
    pub fn set(&self, directives: &str) -> Result<(), String> {
        let directives = Directives::parse(directives)?;
        let filter = directives.filter()?;
        // Before the filter, since what is kept of callsites is then asked anew.
        self.spans.store(directives.name_spans(), Ordering::Relaxed);
        self.filter.reload(filter).map_err(|error| error.to_string())
    }
}

/// Decides which events become lines. It hears of spans only while a directive names some, since it would take
/// two locks each time that one is entered or left.
pub(super) struct LineFilter {
    filter: reload::Layer<EnvFilter, Registry>,
    spans: Arc<AtomicBool>,
}

impl LineFilter {
    /// The filter, and what changes it.
    ///
    /// # Errors
    /// Says what is wrong with the directives.
    pub fn new(directives: &Directives) -> Result<(Self, LogFilter), String> {
        let (filter, handle) = reload::Layer::new(directives.filter()?);
        let spans = Arc::new(AtomicBool::new(directives.name_spans()));
        Ok((Self { filter, spans: Arc::clone(&spans) }, LogFilter { filter: handle, spans }))
    }

    fn hears_of(&self, meta: &Metadata<'_>) -> bool {
        !meta.is_span() || self.spans.load(Ordering::Relaxed)
    }
}

impl Filter<Registry> for LineFilter {
    fn enabled(&self, meta: &Metadata<'_>, ctx: &Context<'_, Registry>) -> bool {
        self.hears_of(meta) && self.filter.enabled(meta, ctx)
    }

    fn callsite_enabled(&self, meta: &'static Metadata<'static>) -> Interest {
        if self.hears_of(meta) { self.filter.callsite_enabled(meta) } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.filter.max_level_hint()
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, Registry>) {
        self.filter.on_new_span(attributes, id, ctx);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, Registry>) {
        self.filter.on_record(id, values, ctx);
    }

    fn on_enter(&self, id: &Id, ctx: Context<'_, Registry>) {
        self.filter.on_enter(id, ctx);
    }

    fn on_exit(&self, id: &Id, ctx: Context<'_, Registry>) {
        self.filter.on_exit(id, ctx);
    }

    fn on_close(&self, id: Id, ctx: Context<'_, Registry>) {
        self.filter.on_close(id, ctx);
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
