//! A tracing span's place in its trace: parents, links and span events.

use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, KeyValue};
use tracing::Dispatch;
use tracing::span::Id;
use tracing_opentelemetry::{OpenTelemetrySpanExt, SetParentError, get_otel_context};
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan;

use super::context::TraceContext;
use super::lines::LineLayer;
use super::names;

/// What the rest of the service does with a span's place in its trace.
pub trait SpanExt {
    /// Makes the span a child of `parent`. Has to be the first thing done with the span: once it has
    /// started (an event, a child, `trace_context`) its parent is fixed; a failure is counted.
    fn continue_from(&self, parent: TraceContext);
    /// As [`Self::continue_from`] for a caller that is not trusted: the trace id is kept, but whether
    /// the trace is recorded is our own sampler's decision.
    fn continue_from_untrusted(&self, parent: TraceContext);
    /// This span's own context; starts the span.
    fn trace_context(&self) -> Option<TraceContext>;
    /// Links another span to this one.
    fn link_to(&self, other: TraceContext);
    /// Adds a span event; never a log line.
    fn add_event(&self, name: &'static str, attributes: &[(&'static str, String)]);
}

impl SpanExt for tracing::Span {
    fn continue_from(&self, parent: TraceContext) {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that counts its failures")]
        let set_parent = <Self as OpenTelemetrySpanExt>::set_parent;
        let context = Context::new().with_remote_span_context(parent.to_remote());
        match set_parent(self, context) {
            // A disabled span has no place in any trace.
            Ok(()) | Err(SetParentError::SpanDisabled) => {}
            Err(SetParentError::LayerNotFound | SetParentError::AlreadyStarted) => {
                metrics::counter!(names::LATE_PARENTS).increment(1);
            }
        }
    }

    fn continue_from_untrusted(&self, parent: TraceContext) {
        let decided = self.with_subscriber(|(_, dispatch)| {
            dispatch.downcast_ref::<LineLayer>().map(|lines| lines.doorkeeper().decide(parent))
        });
        self.continue_from(decided.flatten().unwrap_or(parent.with_sampled(false)));
    }

    fn trace_context(&self) -> Option<TraceContext> {
        self.with_subscriber(|(id, dispatch)| context_of(id, dispatch)).flatten()
    }

    fn link_to(&self, other: TraceContext) {
        self.add_link(other.to_remote());
    }

    fn add_event(&self, name: &'static str, attributes: &[(&'static str, String)]) {
        let attributes = attributes.iter().map(|(key, value)| KeyValue::new(*key, value.clone())).collect();
        OpenTelemetrySpanExt::add_event(self, name, attributes);
    }
}

/// The context of the innermost span of ours, from `current` outwards: what outgoing headers, lines and
/// exemplars name. Starts the span.
pub(super) fn innermost_context(current: &Id, dispatch: &Dispatch) -> Option<TraceContext> {
    context_of(current, dispatch).or_else(|| {
        // A span of a library has no context of its own: one around it may have.
        let span = dispatch.downcast_ref::<Registry>()?.span(current)?;
        span.scope().skip(1).find_map(|span| context_of(&span.id(), dispatch))
    })
}

fn context_of(id: &Id, dispatch: &Dispatch) -> Option<TraceContext> {
    TraceContext::from_otel(get_otel_context(id, dispatch)?.span().span_context())
}
