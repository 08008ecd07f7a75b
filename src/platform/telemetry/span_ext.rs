//! A tracing span's place in its trace: parents, links and span events.

use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, KeyValue};
use tracing_opentelemetry::{OpenTelemetrySpanExt, SetParentError, get_otel_context};

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
        let context = self.with_subscriber(|(id, dispatch)| get_otel_context(id, dispatch)).flatten()?;
        TraceContext::from_otel(context.span().span_context())
    }

    fn link_to(&self, other: TraceContext) {
        self.add_link(other.to_remote());
    }

    fn add_event(&self, name: &'static str, attributes: &[(&'static str, String)]) {
        let attributes = attributes.iter().map(|(key, value)| KeyValue::new(*key, value.clone())).collect();
        OpenTelemetrySpanExt::add_event(self, name, attributes);
    }
}
