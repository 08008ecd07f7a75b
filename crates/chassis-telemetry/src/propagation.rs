//! Trace context and baggage in HTTP headers and gRPC metadata.
//!
//! One propagator serves our layers and, as OpenTelemetry's global one, every library: W3C trace context without
//! `tracestate`, and W3C baggage of allow-listed keys only.

use std::sync::{LazyLock, OnceLock};

use http::{HeaderMap, HeaderName};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator, text_map_propagator::FieldIter};
use opentelemetry::{Context, KeyValue, baggage::BaggageExt as _, trace::TraceContextExt as _};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::BaggagePropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::TraceContext;

/// The W3C header.
pub const TRACEPARENT: HeaderName = HeaderName::from_static(W3C);
const W3C: &str = "traceparent";
const BAGGAGE: &str = "baggage";
static HEADERS: LazyLock<[String; 2]> = LazyLock::new(|| [W3C, BAGGAGE].map(str::to_owned));

/// Lets these keys of baggage pass, in and out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Propagator(pub &'static [&'static str]);

/// That of the process; without [`crate::init()`], as in unit tests, no baggage passes.
static PROPAGATOR: OnceLock<Propagator> = OnceLock::new();

/// Context and allow-listed baggage of a trusted caller, as the parent of a span.
pub fn extract(headers: &HeaderMap) -> Context {
    propagator().extract_with_context(&Context::new(), &HeaderExtractor(headers))
}

/// Puts the current tracing span's context, and its baggage, into the headers of an outgoing request.
pub fn inject(headers: &mut HeaderMap) {
    inject_span(&Span::current(), headers);
}

/// The same for this span.
pub fn inject_span(span: &Span, headers: &mut HeaderMap) {
    propagator().inject_context(&span.context(), &mut HeaderInjector(headers));
}

fn propagator() -> &'static Propagator {
    PROPAGATOR.get_or_init(Propagator::default)
}

impl Propagator {
    /// Makes this the one of the process and of all libraries.
    pub fn install(self) {
        opentelemetry::global::set_text_map_propagator(self.clone());
        // A second set-up, as in tests, keeps the first.
        let _ = PROPAGATOR.set(self);
    }

    fn allowed_baggage(&self, context: &Context) -> Vec<KeyValue> {
        let allowed = context.baggage().iter().filter(|(key, _)| self.0.contains(&key.as_str()));
        allowed.map(|(key, (value, _metadata))| KeyValue::new(key.clone(), value.clone())).collect()
    }
}

impl TextMapPropagator for Propagator {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        if let Some(trace) = TraceContext::of(context.span().span_context()) {
            injector.set(W3C, trace.to_string());
        }
        let allowed = Context::new().with_baggage(self.allowed_baggage(context));
        BaggagePropagator::new().inject_context(&allowed, injector);
    }

    /// A header that is there twice is not valid.
    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        let parents = extractor.get_all(W3C).unwrap_or_default();
        let parent = if let [parent] = parents[..] { TraceContext::parse(parent) } else { None };
        let context = match parent {
            Some(parent) => context.with_remote_span_context(parent.to_remote()),
            None => context.clone(),
        };
        if self.0.is_empty() || extractor.get(BAGGAGE).is_none() {
            return context;
        }
        let all = BaggagePropagator::new().extract_with_context(&context, extractor);
        context.with_baggage(self.allowed_baggage(&all))
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&*HEADERS)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_injected_is_read_back_and_two_traceparents_are_none() {
        let (context, mut headers) = (TraceContext::new_root(), HeaderMap::new());
        context.inject(&mut headers);
        context.inject(&mut headers);
        assert_eq!(TraceContext::from_headers(&headers), Some(context));
        headers.append(TRACEPARENT, HeaderValue::from_static(PARENT));
        assert_eq!(TraceContext::from_headers(&headers), None);
    }

    #[test]
    fn baggage_passes_by_its_key_in_and_out() {
        let propagator = Propagator(&["tenant"]);
        let mut headers = HeaderMap::new();
        headers.insert(W3C, HeaderValue::from_static(PARENT));
        headers.insert(BAGGAGE, HeaderValue::from_static("tenant=a%20b;p=1,secret=canary"));
        let context = propagator.extract_with_context(&Context::new(), &HeaderExtractor(&headers));
        assert_eq!(context.baggage().get("tenant").map(opentelemetry::StringValue::as_str), Some("a b"));
        assert_eq!(context.baggage().len(), 1);
        let mut headers = HeaderMap::new();
        let sent = context.with_baggage([KeyValue::new("tenant", "x"), KeyValue::new("other", "canary")]);
        propagator.inject_context(&sent, &mut HeaderInjector(&mut headers));
        assert_eq!(headers[BAGGAGE], "tenant=x");
        assert_eq!(headers[TRACEPARENT], PARENT);
        assert!(!headers.contains_key("tracestate"));
    }
}
