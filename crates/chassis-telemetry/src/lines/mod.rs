//! The log lines: a layer that turns each event into one line with the ids of its span.
//!
//! Which events become lines is decided by the gate (`filter.rs`); spans are not shown, only their ids.

mod clock;
mod json;
mod pretty;
mod writer;

use std::{
    cell::RefCell,
    fmt::Write as _,
    io::{self, IsTerminal as _},
    str::FromStr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use conf::Conf;
use tracing::{
    Dispatch, Event, Level, Subscriber,
    dispatcher::WeakDispatch,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use crate::{TraceContext, bridge, filter};
use clock::Clock;

pub(crate) use writer::{LineWriter, Output};

/// The section `log`.
#[derive(Conf, Clone, Debug)]
pub struct LogConfig {
    /// `json`, `pretty` for people, or `auto`: pretty on a terminal and json everywhere else.
    #[arg(env, default_value = "auto")]
    pub format: LogFormat,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Auto,
    Json,
    Pretty,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "pretty" => Ok(Self::Pretty),
            _ => Err("expected auto, json or pretty".to_owned()),
        }
    }
}

impl LogFormat {
    fn is_pretty(self) -> bool {
        self == Self::Pretty || self == Self::Auto && io::stdout().is_terminal()
    }
}

/// Writes each event as one line.
pub(crate) struct LineLayer {
    pretty: bool,
    /// `,"service":"…","version":"…"`, escaped once.
    service: String,
    /// For lines outside any span.
    process: TraceContext,
    writer: Arc<LineWriter>,
    rejected: Arc<AtomicU64>,
    dispatch: OnceLock<WeakDispatch>,
}

impl LineLayer {
    /// `rejected` is raised by the spans that a collector refuses in a partial success.
    pub fn new(
        format: LogFormat,
        (service, version): (&str, &str),
        process: TraceContext,
        writer: Arc<LineWriter>,
        rejected: Arc<AtomicU64>,
    ) -> Self {
        let mut pair = String::from(",\"service\":");
        json::string(&mut pair, service);
        pair.push_str(",\"version\":");
        json::string(&mut pair, version);
        Self {
            pretty: format.is_pretty(),
            service: pair,
            process,
            writer,
            rejected,
            dispatch: OnceLock::new(),
        }
    }

    fn context<S>(&self, event: &Event<'_>, ctx: &Context<'_, S>) -> Option<TraceContext>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let dispatch = self.dispatch.get().and_then(WeakDispatch::upgrade)?;
        bridge::of_span(&ctx.event_span(event)?, &dispatch)
    }

    /// Writes the event's line into `scratch.line`.
    fn compose(&self, event: &Event<'_>, context: TraceContext, scratch: &mut Scratch) {
        let meta = event.metadata();
        let Scratch { clock, line, fields } = scratch;
        line.clear();
        fields.clear();
        if self.pretty {
            clock.now(line);
            let _ = write!(line, " {:>5} {} ", meta.level(), meta.target());
            event.record(&mut pretty::Fields { message: line, fields });
            line.push_str(fields);
            let _ = writeln!(line, " trace_id={} span_id={}", context.trace_id(), context.span_id());
            return;
        }
        line.push_str("{\"timestamp\":\"");
        clock.now(line);
        for part in ["\",\"level\":\"", meta.level().as_str(), "\",\"target\":"] {
            line.push_str(part);
        }
        json::string(line, meta.target());
        line.push_str(",\"message\":\"");
        event.record(&mut json::Fields { message: line, fields });
        line.push('"');
        ids(line, context);
        line.push_str(&self.service);
        line.push_str(",\"fields\":{");
        // Every field was written with a comma before it.
        line.push_str(fields.strip_prefix(',').unwrap_or(fields));
        line.push_str("}}\n");
    }
}

/// `,"trace_id":"…","span_id":"…","trace_flags":"…"`
fn ids(line: &mut String, context: TraceContext) {
    let bytes = context.to_bytes();
    let (trace, rest) = bytes.split_at(16);
    let (span, flags) = rest.split_at(8);
    for (key, bytes) in
        [(",\"trace_id\":\"", trace), ("\",\"span_id\":\"", span), ("\",\"trace_flags\":\"", flags)]
    {
        line.push_str(key);
        for byte in bytes {
            line.extend(
                [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])),
            );
        }
    }
    line.push('"');
}

/// What a thread writes its line in before it is copied to its buffer in one piece, so that no value's own formatting
/// ever runs under a lock.
#[derive(Default)]
struct Scratch {
    clock: Clock,
    line: String,
    fields: String,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LineLayer {
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        if event.metadata().target().starts_with(filter::OPENTELEMETRY) {
            return event.record(&mut Rejected(&self.rejected));
        }
        let context = self.context(event, &ctx).unwrap_or(self.process);
        let write = |scratch: &mut Scratch| {
            self.compose(event, context, scratch);
            self.writer.push(scratch.line.as_bytes(), *event.metadata().level() == Level::ERROR);
        };
        SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => write(&mut scratch),
            // A value that logs while it is formatted.
            Err(_) => write(&mut Scratch::default()),
        });
    }
}

/// Reads how many spans a collector refused out of the exporter's own log: it tells nobody else.
struct Rejected<'a>(&'a AtomicU64);

impl Visit for Rejected<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "rejected_spans" {
            self.0.fetch_add(u64::try_from(value).unwrap_or(0), Ordering::Relaxed);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
