//! The log lines: a layer that turns each event into one line with the ids of its span.
//!
//! Which events become lines is decided by the gate (`filter.rs`); spans are not shown, only their ids.

mod writer;

use std::fmt::{Debug, Write as _};
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::{str::FromStr, time::SystemTime};

use conf::Conf;
use serde::Serialize;
use tracing::dispatcher::WeakDispatch;
use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use crate::{Tap, TraceContext, bridge, filter};

pub(crate) use writer::LineWriter;

/// The section `log`.
#[derive(Conf, Clone, Debug)]
pub struct LogConfig {
    /// `json`, `pretty` for people, or `auto`: pretty on a terminal and json everywhere else.
    #[arg(env, default_value = "auto")]
    pub format: LogFormat,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Auto,
    Json,
    Pretty,
}

impl LogFormat {
    pub(crate) fn is_pretty(self) -> bool {
        self == Self::Pretty || self == Self::Auto && io::stdout().is_terminal()
    }
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

/// Writes each event as one line.
pub(crate) struct LineLayer {
    pub pretty: bool,
    pub service: String,
    pub version: &'static str,
    /// The trace of lines outside any span.
    pub process: TraceContext,
    pub writer: LineWriter,
    pub tap: Option<Arc<dyn Tap>>,
    /// Raised by the spans that a collector refuses in a partial success.
    pub rejected: Arc<AtomicU64>,
    pub dispatch: OnceLock<WeakDispatch>,
}

impl LineLayer {
    fn write(&self, event: &Event<'_>, context: TraceContext) {
        let mut fields = Fields { message: String::with_capacity(64), others: Vec::with_capacity(512) };
        event.record(&mut fields);
        let (meta, at) = (event.metadata(), SystemTime::now());
        let (now, level) = (humantime::format_rfc3339_micros(at), meta.level());
        let TraceContext { trace_id, span_id, flags } = context;
        let mut line = Vec::with_capacity(1024);
        // Writing to memory does not fail.
        if self.pretty {
            // Quotes stay as they are, for a command to be copied.
            let message = fields.message.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\"");
            let target = meta.target();
            let _ = write!(line, "{now} {level:>5} {target} {message} trace_id={trace_id} {{");
        } else {
            let _ =
                write!(line, "{{\"timestamp\":\"{now}\",\"level\":\"{level}\",\"trace_id\":\"{trace_id}\",");
            let _ = write!(line, "\"span_id\":\"{span_id}\",\"trace_flags\":\"{flags:02x}\"");
            for (key, text) in [
                ("target", meta.target()),
                ("message", &fields.message),
                ("service", &self.service),
                ("version", self.version),
            ] {
                member(&mut line, key, text);
            }
            line.extend(b",\"fields\":{");
        }
        // Every field was written with a comma before it.
        let others = fields.others.get(1..).unwrap_or_default();
        line.extend(others);
        line.extend(if self.pretty { b"}\n".as_slice() } else { b"}}\n" });
        self.writer.push(&line, *level == Level::ERROR);
        let wants = |tap: &&Arc<dyn Tap>| flags.is_sampled() && tap.wants(trace_id, at, false);
        let tap = self.tap.as_ref().filter(wants);
        tap.inspect(|tap| tap.line(context, at, meta, &fields.message, others));
    }
}

/// Appends `,"key":value`; NaN and infinities become `null`.
fn member(line: &mut Vec<u8>, key: &str, value: impl Serialize) {
    // Writing text and numbers to memory does not fail.
    line.push(b',');
    let _ = serde_json::to_writer(&mut *line, key);
    line.push(b':');
    let _ = serde_json::to_writer(line, &value);
}

/// Takes the message apart from all other values, which are written as JSON.
struct Fields {
    message: String,
    others: Vec<u8>,
}

impl Fields {
    fn write(&mut self, field: &Field, value: impl Serialize) {
        member(&mut self.others, field.name().trim_start_matches("r#"), value);
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.write(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" { self.message.push_str(value) } else { self.write(field, value) }
    }

    /// A value whose formatting fails is cut off where it failed.
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::with_capacity(64);
        let _ = write!(text, "{value:?}");
        self.record_str(field, &text);
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LineLayer {
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        if event.metadata().target().starts_with(filter::OPENTELEMETRY) {
            return event.record(&mut Rejected(&self.rejected));
        }
        let span = ctx.event_span(event).zip(self.dispatch.get().and_then(WeakDispatch::upgrade));
        let context = span.and_then(|(span, dispatch)| bridge::of_span(&span, &dispatch));
        self.write(event, context.unwrap_or(self.process));
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

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
