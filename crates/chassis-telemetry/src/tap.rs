//! A place inside the process that sees what leaves it: spans behind the allow-list, and lines.

use std::{fmt::Debug, sync::Arc, time::Duration, time::SystemTime};

use opentelemetry::{Context, TraceId, trace::Status};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tracing::Metadata;

use crate::{TraceContext, attributes::AllowList, spans::Spans};

/// Sees sampled spans and their lines, on the thread that ends or writes them: an implementation returns at once.
pub trait Tap: Debug + Send + Sync {
    /// Whether it wants what this trace says at this time. Asked for each span and line, and for each link of a span;
    /// `failed` if the span did.
    fn wants(&self, trace: TraceId, at: SystemTime, failed: bool) -> bool;
    fn span(&self, span: SpanData);
    /// `fields` are members of a JSON object, without its braces.
    fn line(&self, of: TraceContext, at: SystemTime, meta: &Metadata<'static>, message: &str, fields: &[u8]);
}

/// What the SDK calls for each span: the tap in front of the exporter.
#[derive(Debug)]
pub(crate) struct Ended(pub Option<Arc<dyn Tap>>, pub AllowList, pub Option<Spans>);

impl SpanProcessor for Ended {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let failed = matches!(span.status, Status::Error { .. });
        let mut of = span.links.iter().map(|link| &link.span_context).chain(Some(&span.span_context));
        if let Some(tap) = &self.0
            && of.any(|of| tap.wants(of.trace_id(), span.end_time, failed))
        {
            let mut seen = span.clone();
            self.1.redact(&mut seen);
            tap.span(seen);
        }
        if let Some(spans) = &self.2 {
            spans.push(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// [`Spans::shutdown`] does it.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
