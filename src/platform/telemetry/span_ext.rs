//! A tracing span's place in its trace: parents, links and span events.

use tracing::Dispatch;
use tracing::span::Id;
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan;

use super::context::TraceContext;
use super::names;
use super::spans::{Live, SpanLayer, context_at};

/// What the rest of the service does with a span's place in its trace.
pub trait SpanExt {
    /// Makes the span a child of `parent`. Has to be the first thing done with the span: once its place was told
    /// (to an event, a child, by `trace_context`) its parent is fixed; a failure is counted.
    fn continue_from(&self, parent: TraceContext);
    /// As [`Self::continue_from`] for a caller that is not trusted: the trace id is kept, but whether
    /// the trace is recorded is our own sampler's decision.
    fn continue_from_untrusted(&self, parent: TraceContext);
    /// This span's own context, which is fixed from then on.
    fn trace_context(&self) -> Option<TraceContext>;
    /// Links another span to this one.
    fn link_to(&self, other: TraceContext);
    /// Adds a span event; never a log line.
    fn add_event(&self, name: &'static str, attributes: &[(&'static str, String)]);
}

impl SpanExt for tracing::Span {
    fn continue_from(&self, parent: TraceContext) {
        let moved = self.with_subscriber(|(id, dispatch)| {
            let sampling = dispatch.downcast_ref::<SpanLayer>()?.sampling();
            with_live(id, dispatch, |live| live.continue_from(parent, sampling))
        });
        // A disabled span has no place in any trace.
        if matches!(moved, Some(None | Some(false))) {
            metrics::counter!(names::LATE_PARENTS).increment(1);
        }
    }

    fn continue_from_untrusted(&self, parent: TraceContext) {
        let decided = self.with_subscriber(|(_, dispatch)| {
            dispatch.downcast_ref::<SpanLayer>().map(|spans| spans.doorkeeper().decide(parent))
        });
        self.continue_from(decided.flatten().unwrap_or(parent.with_sampled(false)));
    }

    fn trace_context(&self) -> Option<TraceContext> {
        self.with_subscriber(|(id, dispatch)| innermost_context(id, dispatch)).flatten()
    }

    fn link_to(&self, other: TraceContext) {
        self.with_subscriber(|(id, dispatch)| with_live(id, dispatch, |live| live.link(other, true)));
    }

    fn add_event(&self, name: &'static str, attributes: &[(&'static str, String)]) {
        self.with_subscriber(|(id, dispatch)| with_live(id, dispatch, |live| live.event(name, attributes)));
    }
}

/// The context of the innermost span of ours, from `current` outwards: what outgoing headers and exemplars name.
pub(super) fn innermost_context(current: &Id, dispatch: &Dispatch) -> Option<TraceContext> {
    context_at(dispatch.downcast_ref::<Registry>()?.span(current)?)
}

fn with_live<T>(id: &Id, dispatch: &Dispatch, act: impl FnOnce(&mut Live) -> T) -> Option<T> {
    let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
    let mut extensions = span.extensions_mut();
    extensions.get_mut::<Live>().map(act)
}
