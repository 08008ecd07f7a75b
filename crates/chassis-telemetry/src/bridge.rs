//! Between tracing's spans and OpenTelemetry's: `tracing-opentelemetry` with its extras off, and a span's own context.

use std::hash::{BuildHasher as _, RandomState};

use opentelemetry::{Context, KeyValue, trace::TraceContextExt as _};
use opentelemetry_sdk::trace::{Sampler, SdkTracer};
use tracing::{Dispatch, Metadata, Span, Subscriber, span::Id};
use tracing_opentelemetry::{OpenTelemetrySpanExt, SetParentError, get_otel_context};
use tracing_subscriber::registry::{LookupSpan, SpanRef};
use tracing_subscriber::{Layer, Registry, filter::filter_fn};

use crate::{TraceContext, filter::Gate};

/// The bridge. Events are kept out of it: a log line is no span event, and could say what no attribute may.
pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(tracer: SdkTracer) -> impl Layer<S> {
    let is_span = |meta: &Metadata<'_>| meta.is_span();
    let bridge = tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_threads(false);
    let bridge = bridge.with_level(false).with_target(false).with_tracked_inactivity(false);
    bridge.with_context_activation(false).with_filter(filter_fn(is_span))
}

/// A tracing span's place in its trace: a shorter [`OpenTelemetrySpanExt`] for [`TraceContext`].
pub trait SpanExt {
    /// Makes the span a child of `parent`. It has to be the first thing done with the span: a line, a child or
    /// [`Self::trace_context`] starts it, and its parent is fixed then. A failure is counted in
    /// `telemetry_late_parents_total`.
    fn continue_from(&self, parent: TraceContext);
    /// The span's own context.
    fn trace_context(&self) -> Option<TraceContext>;
    /// Links the span to another one.
    fn link_to(&self, other: TraceContext);
    /// Adds a span event. Its attributes pass the same allow-list as the span's.
    fn add_event(&self, name: &'static str, attributes: &[(&'static str, String)]);
}

impl SpanExt for Span {
    fn continue_from(&self, parent: TraceContext) {
        set_parent(self, Context::new().with_remote_span_context(parent.to_remote()));
    }

    fn trace_context(&self) -> Option<TraceContext> {
        self.with_subscriber(|(id, dispatch)| of_id(id, dispatch)).flatten()
    }

    fn link_to(&self, other: TraceContext) {
        self.add_link(other.to_remote());
    }

    fn add_event(&self, name: &'static str, attributes: &[(&'static str, String)]) {
        let attributes = attributes.iter().map(|(key, value)| KeyValue::new(*key, value.clone())).collect();
        OpenTelemetrySpanExt::add_event(self, name, attributes);
    }
}

/// Makes the span a child of the context's span, with the context's baggage.
pub(crate) fn set_parent(span: &Span, parent: Context) {
    if let Err(SetParentError::AlreadyStarted) = span.set_parent(parent) {
        metrics::counter!("telemetry_late_parents_total").increment(1);
    }
}

/// As [`SpanExt::continue_from`] for a caller that is not trusted: the trace id is kept, but our own sampler decides
/// whether the trace is recorded.
pub(crate) fn continue_untrusted(span: &Span, mut parent: TraceContext) {
    let gate = |dispatch: &Dispatch| Some(dispatch.downcast_ref::<Gate>()?.sampling.decide_untrusted(parent));
    let sampled = span.with_subscriber(|(_, dispatch)| gate(dispatch)).flatten();
    parent.flags = parent.flags.with_sampled(sampled == Some(true));
    span.continue_from(parent);
}

pub(crate) fn of_id(id: &Id, dispatch: &Dispatch) -> Option<TraceContext> {
    of_span(&dispatch.downcast_ref::<Registry>()?.span(id)?, dispatch)
}

/// The span's context, kept in the span once it is known. Asking starts the span, so that its parent is fixed.
pub(crate) fn of_span<'a, S: LookupSpan<'a>>(
    span: &SpanRef<'a, S>,
    dispatch: &Dispatch,
) -> Option<TraceContext> {
    if let Some(context) = span.extensions().get::<TraceContext>() {
        return Some(*context);
    }
    let context = TraceContext::of(get_otel_context(&span.id(), dispatch)?.span().span_context())?;
    span.extensions_mut().replace(context);
    Some(context)
}

/// Which traces are recorded, by `OTEL_TRACES_SAMPLER`.
#[derive(Clone, Debug)]
pub(crate) struct Sampling {
    pub parent_based: bool,
    /// The fraction of all traces that is recorded where no parent decides, 0 to 1.
    pub fraction: f64,
    /// Keys the hash of the trace id: an untrusted caller that picks its ids cannot pick those that are recorded,
    /// and still one trace is decided once.
    pub key: RandomState,
}

impl Sampling {
    pub fn sampler(&self) -> Sampler {
        let root = Sampler::TraceIdRatioBased(self.fraction);
        if self.parent_based { Sampler::ParentBased(Box::new(root)) } else { root }
    }

    /// Decides in the caller's place on a trace whose id an untrusted caller chose.
    fn decide_untrusted(&self, context: TraceContext) -> bool {
        let place = || self.key.hash_one(context.trace_id) as f64 / u64::MAX as f64;
        self.fraction >= 1.0 || place() < self.fraction
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::TraceFlags;

    use super::*;

    #[test]
    fn an_untrusted_callers_flag_decides_nothing_and_one_trace_is_decided_once() {
        let share = |fraction| {
            let sampling = Sampling { parent_based: true, fraction, key: RandomState::new() };
            let traces = || (0..1000).map(|_| TraceContext::new_root());
            let decided_once = traces().all(|trace| {
                sampling.decide_untrusted(trace)
                    == sampling.decide_untrusted(TraceContext { flags: TraceFlags::default(), ..trace })
            });
            assert!(decided_once);
            traces().filter(|trace| sampling.decide_untrusted(*trace)).count()
        };
        assert_eq!((share(1.0), share(0.0)), (1000, 0));
        assert!((350..650).contains(&share(0.5)));
    }
}
