//! Trace context and baggage in HTTP headers and gRPC metadata, in the formats of `OTEL_PROPAGATORS`.
//!
//! One propagator serves our layers and, as OpenTelemetry's global one, every library: W3C trace context without
//! `tracestate`, W3C baggage of allow-listed keys only, and Jaeger's `uber-trace-id` where it is asked for.

use std::sync::OnceLock;

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
const UBER_TRACE_ID: &str = "uber-trace-id";

/// What `OTEL_PROPAGATORS` and the service ask for.
#[derive(Clone, Debug)]
pub(crate) struct Propagators {
    /// The headers that are read and written.
    headers: Vec<String>,
    /// The baggage keys that pass, in and out.
    baggage: &'static [&'static str],
}

/// Those of the process; without [`crate::init()`], as in unit tests, the defaults.
static PROPAGATORS: OnceLock<Propagators> = OnceLock::new();

/// Context and allow-listed baggage of a trusted caller, as the parent of a span.
pub fn extract(headers: &HeaderMap) -> Context {
    propagators().extract_with_context(&Context::new(), &HeaderExtractor(headers))
}

/// Puts the current tracing span's context, and its baggage, into the headers of an outgoing request.
pub fn inject(headers: &mut HeaderMap) {
    inject_span(&Span::current(), headers);
}

/// The same for this span.
pub fn inject_span(span: &Span, headers: &mut HeaderMap) {
    propagators().inject_context(&span.context(), &mut HeaderInjector(headers));
}

fn propagators() -> &'static Propagators {
    PROPAGATORS.get_or_init(|| Propagators::new("tracecontext,baggage", &[]).0)
}

impl Propagators {
    /// Those of a list as in `OTEL_PROPAGATORS`, and the names in it that are not known.
    pub fn new(list: &str, baggage: &'static [&'static str]) -> (Self, Vec<String>) {
        let (mut headers, mut unknown) = (Vec::new(), Vec::new());
        for name in list.split(',').map(|name| name.trim().to_ascii_lowercase()) {
            match name.as_str() {
                "tracecontext" => headers.push(W3C.to_owned()),
                "baggage" => headers.push(BAGGAGE.to_owned()),
                "jaeger" => headers.push(UBER_TRACE_ID.to_owned()),
                "none" | "" => {}
                _ => unknown.push(name),
            }
        }
        (Self { headers, baggage }, unknown)
    }

    /// Makes these the ones of the process and of all libraries.
    pub fn install(self) {
        opentelemetry::global::set_text_map_propagator(self.clone());
        // A second set-up, as in tests, keeps the first.
        let _ = PROPAGATORS.set(self);
    }

    fn uses(&self, header: &str) -> bool {
        self.headers.iter().any(|other| other == header)
    }

    /// A valid `traceparent`, or `uber-trace-id` where there is no `traceparent` at all. A header that is there
    /// twice is not valid.
    fn trace(&self, headers: &dyn Extractor) -> Option<TraceContext> {
        let once = |name| if let [value] = headers.get_all(name)?[..] { Some(value) } else { None };
        if self.uses(W3C) && headers.get(W3C).is_some() {
            return TraceContext::parse(once(W3C)?);
        }
        parse_jaeger(once(UBER_TRACE_ID).filter(|_| self.uses(UBER_TRACE_ID))?)
    }

    fn allowed_baggage(&self, context: &Context) -> Vec<KeyValue> {
        let allowed = context.baggage().iter().filter(|(key, _)| self.baggage.contains(&key.as_str()));
        allowed.map(|(key, (value, _metadata))| KeyValue::new(key.clone(), value.clone())).collect()
    }
}

impl TextMapPropagator for Propagators {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        if let Some(trace) = TraceContext::of(context.span().span_context()) {
            if self.uses(W3C) {
                injector.set(W3C, trace.to_string());
            }
            if self.uses(UBER_TRACE_ID) {
                let TraceContext { trace_id, span_id, flags } = trace;
                injector.set(UBER_TRACE_ID, format!("{trace_id}:{span_id}:0:{flags:x}"));
            }
        }
        if self.uses(BAGGAGE) {
            let allowed = Context::new().with_baggage(self.allowed_baggage(context));
            BaggagePropagator::new().inject_context(&allowed, injector);
        }
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        let trace = self.trace(extractor).map(TraceContext::to_remote);
        let context = trace.map_or_else(|| context.clone(), |trace| context.with_remote_span_context(trace));
        if self.baggage.is_empty() || !self.uses(BAGGAGE) || extractor.get(BAGGAGE).is_none() {
            return context;
        }
        let all = BaggagePropagator::new().extract_with_context(&context, extractor);
        context.with_baggage(self.allowed_baggage(&all))
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&self.headers)
    }
}

/// Reads `{trace-id}:{span-id}:{parent-span-id}:{flags}`, where leading zeros may be left out
/// (<https://www.jaegertracing.io/sdk-migration/#propagation-format>). Bit 0 of the flags is "sampled", as in W3C's.
fn parse_jaeger(header: &str) -> Option<TraceContext> {
    // Some clients percent-encode the colons.
    let header = header.replace("%3A", ":").replace("%3a", ":");
    let parts: Vec<_> = header.split(':').collect();
    let &[trace_id, span_id, _parent, flags] = parts.as_slice() else { return None };
    let digits = header.bytes().all(|byte| byte == b':' || byte.is_ascii_hexdigit());
    TraceContext::hex(trace_id, span_id, flags).filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const JAEGER: &str = "af7651916cd43dd8448eb211c80319c:b7ad6b7169203331:0:1";

    fn read(propagators: &str, headers: &[(&'static str, &str)]) -> Context {
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        let mut map = HeaderMap::new();
        for (name, text) in headers {
            map.append(*name, value(text));
        }
        let (propagators, _) = Propagators::new(propagators, &["tenant"]);
        propagators.extract_with_context(&Context::new(), &HeaderExtractor(&map))
    }

    fn trace(context: &Context) -> Option<TraceContext> {
        TraceContext::of(context.span().span_context())
    }

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
    fn jaegers_header_is_read_only_on_request_and_without_a_traceparent() {
        let all = "tracecontext,baggage,Jaeger";
        assert_eq!(trace(&read(all, &[("uber-trace-id", JAEGER)])), TraceContext::parse(PARENT));
        assert_eq!(
            trace(&read(all, &[("uber-trace-id", &JAEGER.replace(':', "%3A"))])),
            TraceContext::parse(PARENT)
        );
        assert_eq!(trace(&read(all, &[("uber-trace-id", JAEGER), ("traceparent", "nonsense")])), None);
        assert_eq!(trace(&read("tracecontext", &[("uber-trace-id", JAEGER)])), None);
        assert_eq!(trace(&read("none", &[("traceparent", PARENT)])), None);
        assert_eq!(Propagators::new("tracecontext,b3", &[]).1, ["b3"]);
    }

    #[test]
    fn malformed_jaeger_headers_are_refused() {
        for bad in ["", "1", "1:2:3", "0:1:0:1", "1:0:0:1", "1:2:0:1:5", "1:+2:0:1", "g:2:0:1", "1:2:0:"] {
            assert_eq!(parse_jaeger(bad), None, "{bad}");
        }
        assert_eq!(parse_jaeger("1:12345678901234567:0:1"), None);
    }

    #[test]
    fn baggage_passes_by_its_key_in_and_out() {
        let context = read(
            "tracecontext,baggage",
            &[("traceparent", PARENT), ("baggage", "tenant=a%20b;p=1,secret=canary")],
        );
        assert_eq!(context.baggage().get("tenant").map(opentelemetry::StringValue::as_str), Some("a b"));
        assert_eq!(context.baggage().len(), 1);
        let (propagators, _) = Propagators::new("tracecontext,baggage,jaeger", &["tenant"]);
        let mut headers = HeaderMap::new();
        let sent = context.with_baggage([KeyValue::new("tenant", "x"), KeyValue::new("other", "canary")]);
        propagators.inject_context(&sent, &mut HeaderInjector(&mut headers));
        assert_eq!(headers[BAGGAGE], "tenant=x");
        assert_eq!(headers[TRACEPARENT], PARENT);
        assert_eq!(headers[UBER_TRACE_ID], format!("0{JAEGER}"));
        assert!(!headers.contains_key("tracestate"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse_jaeger(&text);
        }
    }
}
