//! The lines: a `Layer` that turns each event into one line, and the thread that writes them.
//!
//! Which events become lines is decided by the gate before it (`filter.rs`); spans are not shown,
//! only their ids.

mod clock;
mod format;
mod ids;
mod json;
mod pretty;
mod writer;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::Arc;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::context::TraceContext;
use clock::Clock;
use ids::Ids;

pub use format::Format;
pub(super) use writer::{LineWriter, Output};

/// Writes each event as one line with the ids of its span, or of the process where it has none.
pub(super) struct LineLayer {
    format: Format,
    /// `,"service":"…","version":"…"`, escaped once.
    service: String,
    /// The trace of the process's own start, run and stop.
    process: Ids,
    writer: Arc<LineWriter>,
}

impl LineLayer {
    pub fn new(format: Format, (service, version): (&str, &str), writer: Arc<LineWriter>) -> Self {
        let mut pair = String::from(",\"service\":");
        json::string(&mut pair, service);
        pair.push_str(",\"version\":");
        json::string(&mut pair, version);
        let process = Ids::of(TraceContext::new_root().with_sampled(false));
        Self { format, service: pair, process, writer }
    }

    /// Writes the event's line into `scratch.line`.
    fn compose(&self, event: &Event<'_>, ids: &Ids, scratch: &mut Scratch) {
        let meta = event.metadata();
        let Scratch { clock, line, fields } = scratch;
        line.clear();
        fields.clear();
        match self.format {
            Format::Json => {
                line.push_str("{\"timestamp\":\"");
                clock.now(line);
                let _ = write!(line, "\",\"level\":\"{}\",\"target\":", meta.level());
                json::string(line, meta.target());
                line.push_str(",\"message\":\"");
                event.record(&mut json::Fields { message: line, fields });
                line.push('"');
                ids.json(line);
                line.push_str(&self.service);
                line.push_str(",\"fields\":{");
                // Every field was written with a comma before it.
                line.push_str(fields.strip_prefix(',').unwrap_or(fields));
                line.push_str("}}\n");
            }
            Format::Pretty => {
                clock.now(line);
                let _ = write!(line, " {:>5} {} ", meta.level(), meta.target());
                event.record(&mut pretty::Fields { message: line, fields });
                line.push_str(fields);
                ids.pretty(line);
                line.push('\n');
            }
        }
    }
}

/// What a thread writes its lines in before they are copied to its buffer in one piece, so that no
/// value's own formatting ever runs under a lock.
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
    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let ids = ids::of_event(event, &ctx).unwrap_or(self.process);
        let write = |scratch: &mut Scratch| {
            self.compose(event, &ids, scratch);
            self.writer.push(scratch.line.as_bytes(), *event.metadata().level() == Level::ERROR);
        };
        SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => write(&mut scratch),
            // A value that logs while it is formatted.
            Err(_) => write(&mut Scratch::default()),
        });
    }
}
