//! A span from its begin to its end: its place in its trace, and what is said of it, encoded as it is said.

use std::error::Error;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use tracing::field::{Field, Visit};

use super::encode::{self, Ended, Kind, Parent, Status, Value};
use crate::platform::telemetry::context::TraceContext;
use crate::platform::telemetry::names;
use crate::platform::telemetry::sampling::Sampling;

/// Events, and links, that a span holds; more are counted. As much as OpenTelemetry's specification says.
const MOST: u32 = 128;
/// Most spans say less, with all that is written at their end.
const USUAL_BYTES: usize = 512;

/// Where a span is, and what was said of it; kept with the span in the registry.
pub(in crate::platform::telemetry) struct Live {
    context: TraceContext,
    parent: Option<Parent>,
    /// Whether the context was told: from then on it stays.
    told: AtomicBool,
    /// Nanoseconds since 1970.
    begun: u64,
    said: Said,
    events: u32,
    links: u32,
}

impl Live {
    /// A span that begins now, below a parent in this process or at the root of a trace of its own.
    pub fn begin(parent: Option<TraceContext>, sampling: Sampling) -> Self {
        let context = parent.map_or_else(TraceContext::new_root, TraceContext::child);
        Self {
            context: context.with_sampled(sampling.decide(parent, context)),
            parent: parent.map(|context| Parent { context, remote: false }),
            told: AtomicBool::new(false),
            begun: encode::nanos(SystemTime::now()),
            said: Said::default(),
            events: 0,
            links: 0,
        }
    }

    /// Where the span is, which is fixed from now on.
    pub fn context(&self) -> TraceContext {
        self.told.store(true, Ordering::Relaxed);
        self.context
    }

    /// Moves the span below a parent in another process; `false` if its place is fixed.
    #[must_use]
    pub fn continue_from(&mut self, parent: TraceContext, sampling: Sampling) -> bool {
        if self.told.swap(true, Ordering::Relaxed) {
            return false;
        }
        let context = parent.child_as(self.context);
        self.context = context.with_sampled(sampling.decide(Some(parent), context));
        self.parent = Some(Parent { context: parent, remote: true });
        true
    }

    /// Whether what is said of the span is wanted. Before its place is fixed it may still be.
    pub fn listens(&self) -> bool {
        self.context.sampled() || !self.told.load(Ordering::Relaxed)
    }

    /// Adds what was said.
    pub fn say(&mut self, said: Said) {
        if self.said.body.is_empty() {
            self.said.body = said.body;
        } else {
            self.said.body.extend_from_slice(&said.body);
        }
        self.said.named |= said.named;
        self.said.kind = said.kind.or(self.said.kind);
        self.said.status = said.status.or(self.said.status);
    }

    /// Adds an event of this moment.
    pub fn event(&mut self, name: &str, attributes: &[(&'static str, String)]) {
        self.told.store(true, Ordering::Relaxed);
        self.events += 1;
        if self.events <= MOST && self.listens() {
            encode::event(&mut self.said.body, encode::nanos(SystemTime::now()), name, attributes);
        }
    }

    /// Links the span to another one.
    pub fn link(&mut self, context: TraceContext, remote: bool) {
        self.links += 1;
        if self.links <= MOST && self.listens() {
            encode::link(&mut self.said.body, Parent { context, remote });
        }
    }

    /// The message `Span` of a span that ends now, without tag and length; `None` if it is not sampled. `name` is
    /// used unless another one was said.
    pub fn end(self, name: &str) -> Option<Vec<u8>> {
        let Said { mut body, named, kind, status } = self.said;
        let ended = Ended {
            context: self.context,
            parent: self.parent,
            name: (!named).then_some(name),
            kind: kind.unwrap_or_default(),
            status: status.unwrap_or_default(),
            begun: self.begun,
            // The clock may have been set back.
            ended: encode::nanos(SystemTime::now()).max(self.begun),
            dropped_events: self.events.saturating_sub(MOST),
            dropped_links: self.links.saturating_sub(MOST),
        };
        self.context.sampled().then(|| {
            encode::ended(&mut body, &ended);
            body
        })
    }
}

/// What is said of a span: fields of the message `Span`, and what can be said anew.
#[derive(Default)]
pub(in crate::platform::telemetry) struct Said {
    body: Vec<u8>,
    named: bool,
    kind: Option<Kind>,
    status: Option<Status>,
}

impl Said {
    /// With room for a whole span.
    pub fn with_room() -> Self {
        Self { body: Vec::with_capacity(USUAL_BYTES), ..Self::default() }
    }

    fn attribute(&mut self, field: &Field, value: Value<'_>) {
        encode::attribute(&mut self.body, field.name(), value);
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            names::OTEL_NAME => {
                self.named = true;
                encode::name(&mut self.body, value);
            }
            names::OTEL_KIND => self.kind = kind(value),
            names::OTEL_STATUS_CODE => self.status = status(value),
            _ => self.attribute(field, Value::Text(value)),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.attribute(field, Value::Truth(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.attribute(field, Value::Int(value));
    }

    /// Attributes have no larger integers than those of 63 bits: others are text.
    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.attribute(field, Value::Int(value)),
            Err(_) => self.attribute(field, Value::Shown(&value)),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.attribute(field, Value::Float(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record_str(field, &value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            names::OTEL_NAME | names::OTEL_KIND | names::OTEL_STATUS_CODE => {
                self.record_str(field, &format!("{value:?}"));
            }
            _ => self.attribute(field, Value::Shown(value)),
        }
    }
}

fn kind(text: &str) -> Option<Kind> {
    let kinds = [Kind::Internal, Kind::Server, Kind::Client, Kind::Producer, Kind::Consumer];
    let words = ["internal", "server", "client", "producer", "consumer"];
    words.iter().position(|word| word.eq_ignore_ascii_case(text)).map(|at| kinds[at])
}

fn status(text: &str) -> Option<Status> {
    match text {
        _ if text.eq_ignore_ascii_case("ok") => Some(Status::Ok),
        _ if text.eq_ignore_ascii_case("error") => Some(Status::Error),
        _ => None,
    }
}
