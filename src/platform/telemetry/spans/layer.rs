//! The layer that keeps each span's trace context, and hands each sampled one over when it ends. Which spans there
//! are is decided by the gate before it (`filter.rs`).
//!
//! What is said of a span is encoded outside the locks of the registry: a value that writes a line while it is
//! formatted asks for the span's context.

use tracing::Subscriber;
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::Processor;
use super::live::{Live, Said};
use crate::platform::telemetry::context::TraceContext;
use crate::platform::telemetry::sampling::{Doorkeeper, Sampling};

/// Spans of OpenTelemetry behind those of `tracing`.
pub(in crate::platform::telemetry) struct SpanLayer {
    sampling: Sampling,
    doorkeeper: Doorkeeper,
    /// Without one a span has a valid context, and is forgotten when it ends.
    processor: Option<Processor>,
}

impl SpanLayer {
    pub fn new(sampling: Sampling, processor: Option<Processor>) -> Self {
        Self { sampling, doorkeeper: Doorkeeper::new(sampling), processor }
    }

    /// Which traces are recorded.
    pub fn sampling(&self) -> Sampling {
        self.sampling
    }

    /// Who decides on the traces that untrusted callers began.
    pub fn doorkeeper(&self) -> &Doorkeeper {
        &self.doorkeeper
    }
}

/// The context of the innermost span of ours, from this one outwards.
pub(in crate::platform::telemetry) fn context_at<'a, S: LookupSpan<'a>>(
    span: SpanRef<'a, S>,
) -> Option<TraceContext> {
    span.scope().find_map(|span| span.extensions().get::<Live>().map(Live::context))
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let parent = match attributes.parent() {
            Some(parent) => ctx.span(parent),
            None if attributes.is_contextual() => ctx.lookup_current(),
            None => None,
        };
        let mut live = Live::begin(parent.and_then(context_at), self.sampling);
        if self.processor.is_some() {
            let mut said = Said::with_room();
            attributes.record(&mut said);
            live.say(said);
        }
        if let Some(span) = ctx.span(id) {
            span.extensions_mut().insert(live);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id).filter(|_| self.processor.is_some()) else { return };
        let mut said = Said::default();
        values.record(&mut said);
        if let Some(live) = span.extensions_mut().get_mut::<Live>()
            && live.listens()
        {
            live.say(said);
        }
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, ctx: Context<'_, S>) {
        let (Some(span), Some(other)) = (ctx.span(id), ctx.span(follows).and_then(context_at)) else {
            return;
        };
        if let Some(live) = span.extensions_mut().get_mut::<Live>() {
            live.link(other, false);
        }
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(&id) else { return };
        let live = span.extensions_mut().remove::<Live>();
        if let Some(processor) = &self.processor
            && let Some(ended) = live.and_then(|live| live.end(span.name()))
        {
            processor.end(&ended);
        }
    }
}
