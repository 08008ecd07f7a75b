//! Which events become lines, and which spans are ours.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, subscriber::Interest};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

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

/// Decides which events become lines, and which spans there are. It hears of spans only while a directive names
/// some, since it would take two locks each time that one is entered or left.
pub(super) struct Gate {
    filter: reload::Layer<EnvFilter, Registry>,
    spans: Arc<AtomicBool>,
    own: OwnSpans,
}

impl Gate {
    /// The gate, and what changes which lines it lets through.
    ///
    /// # Errors
    /// Says what is wrong with the directives.
    pub fn new(directives: &Directives) -> Result<(Self, LogFilter), String> {
        let (filter, handle) = reload::Layer::new(directives.filter()?);
        let spans = Arc::new(AtomicBool::new(directives.name_spans()));
        let gate = Self { filter, spans: Arc::clone(&spans), own: OwnSpans::new() };
        Ok((gate, LogFilter { filter: handle, spans }))
    }

    fn hears_of_spans(&self) -> bool {
        self.spans.load(Ordering::Relaxed)
    }
}

impl Layer<Registry> for Gate {
    fn register_callsite(&self, meta: &'static Metadata<'static>) -> Interest {
        if !meta.is_span() {
            return self.filter.callsite_enabled(meta);
        }
        if !self.own.has(meta) {
            return Interest::never();
        }
        if self.hears_of_spans() {
            // Which of the directives name it is found out here.
            self.filter.callsite_enabled(meta);
        }
        Interest::always()
    }

    fn enabled(&self, meta: &Metadata<'_>, ctx: Context<'_, Registry>) -> bool {
        if meta.is_span() { self.own.has(meta) } else { Filter::enabled(&self.filter, meta, &ctx) }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Filter::max_level_hint(&self.filter).map(|lines| lines.max(LEVEL.into()))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, Registry>) {
        if self.hears_of_spans() {
            Filter::on_new_span(&self.filter, attributes, id, ctx);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, Registry>) {
        if self.hears_of_spans() {
            Filter::on_record(&self.filter, id, values, ctx);
        }
    }

    fn on_enter(&self, id: &Id, ctx: Context<'_, Registry>) {
        if self.hears_of_spans() {
            Filter::on_enter(&self.filter, id, ctx);
        }
    }

    fn on_exit(&self, id: &Id, ctx: Context<'_, Registry>) {
        if self.hears_of_spans() {
            Filter::on_exit(&self.filter, id, ctx);
        }
    }

    fn on_close(&self, id: Id, ctx: Context<'_, Registry>) {
        if self.hears_of_spans() {
            Filter::on_close(&self.filter, id, ctx);
        }
    }
}

/// This crate's spans of INFO and above, whatever `RUST_LOG` says: a library's would cost, tell what nobody asked,
/// and those of the exporter's own client would feed it.
struct OwnSpans {
    root: &'static str,
}

const LEVEL: Level = Level::INFO;

impl OwnSpans {
    fn new() -> Self {
        let path = module_path!();
        Self { root: path.split("::").next().unwrap_or(path) }
    }

    fn has(&self, span: &Metadata<'_>) -> bool {
        let rest = span.target().strip_prefix(self.root);
        *span.level() <= LEVEL && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }
}
