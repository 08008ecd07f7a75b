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
const JAEGER: &str = "uber-trace-id";
pub(crate) const USUAL: &str = "tracecontext,baggage";

#[derive(Clone, Debug)]
pub(crate) struct Propagator {
    /// The headers that are read and written.
    headers: Vec<String>,
    /// The keys of baggage that pass, in and out.
    baggage: &'static [&'static str],
}

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
    PROPAGATOR.get_or_init(|| Propagator::new(USUAL, &[]).0)
}

impl Propagator {
    /// That of a list as in `OTEL_PROPAGATORS`, and the names in it that are not known.
    pub fn new(list: &str, baggage: &'static [&'static str]) -> (Self, Vec<String>) {
        let (mut headers, mut unknown) = (Vec::new(), Vec::new());
        for name in list.split(',').map(|name| name.trim().to_ascii_lowercase()) {
            match name.as_str() {
                "tracecontext" => headers.push(W3C.to_owned()),
                "baggage" => headers.push(BAGGAGE.to_owned()),
                "jaeger" => headers.push(JAEGER.to_owned()),
                "none" | "" => {}
                _ => unknown.push(name),
            }
        }
        (Self { headers, baggage }, unknown)
    }

    fn uses(&self, header: &str) -> bool {
        self.headers.iter().any(|other| other == header)
    }

    /// Makes this the one of the process and of all libraries.
    pub fn install(self) {
        opentelemetry::global::set_text_map_propagator(self.clone());
        // A second set-up, as in tests, keeps the first.
        let _ = PROPAGATOR.set(self);
    }

    fn allowed_baggage(&self, context: &Context) -> Vec<KeyValue> {
        let passes = |key: &str| self.uses(BAGGAGE) && self.baggage.contains(&key);
        let allowed = context.baggage().iter().filter(|(key, _)| passes(key.as_str()));
        allowed.map(|(key, (value, _metadata))| KeyValue::new(key.clone(), value.clone())).collect()
    }
}

impl TextMapPropagator for Propagator {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        if let Some(trace) = TraceContext::of(context.span().span_context()) {
            if self.uses(W3C) {
                injector.set(W3C, trace.to_string());
            }
            if self.uses(JAEGER) {
                let TraceContext { trace_id, span_id, flags } = trace;
                injector.set(JAEGER, format!("{trace_id}:{span_id}:0:{flags:x}"));
            }
        }
        let allowed = self.allowed_baggage(context);
        if !allowed.is_empty() {
            BaggagePropagator::new().inject_context(&Context::new().with_baggage(allowed), injector);
        }
    }

    /// Jaeger's header counts where there is no `traceparent` at all. One that is there twice is not valid.
    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        let is_there = |name: &&str| self.uses(name) && extractor.get(name).is_some();
        let parent = [W3C, JAEGER].into_iter().find(is_there).and_then(|name| {
            let values = extractor.get_all(name)?;
            let &[value] = values.as_slice() else { return None };
            if name == W3C { TraceContext::parse(value) } else { parse_jaeger(value) }
        });
        let below = |parent: TraceContext| context.with_remote_span_context(parent.to_remote());
        let context = parent.map_or_else(|| context.clone(), below);
        if self.baggage.is_empty() || extractor.get(BAGGAGE).is_none() {
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
    let header = header.to_ascii_lowercase().replace("%3a", ":");
    let parts: Vec<_> = header.split(':').collect();
    let &[trace, span, _parent, flags] = parts.as_slice() else { return None };
    TraceContext::parse(&format!("00-{trace:0>32}-{span:0>16}-{flags:0>2}")).filter(|_| !flags.is_empty())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const UBER: &str = "af7651916cd43dd8448eb211c80319c:b7ad6b7169203331:0:1";

    fn read(propagators: &str, headers: &[(&'static str, &str)]) -> Context {
        let mut map = HeaderMap::new();
        for (name, text) in headers {
            map.append(*name, HeaderValue::from_str(text).unwrap());
        }
        let (propagator, _) = Propagator::new(propagators, &["tenant"]);
        propagator.extract_with_context(&Context::new(), &HeaderExtractor(&map))
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
        let trace = |propagators, headers: &[_]| {
            TraceContext::of(read(propagators, headers).span().span_context()).map(|trace| trace.to_string())
        };
        let (all, read) = ("tracecontext,baggage, Jaeger", Some(PARENT.to_owned()));
        assert_eq!(trace(all, &[(JAEGER, UBER)]), read);
        let encoded = UBER.replace(':', "%3A");
        assert_eq!(trace(all, &[(JAEGER, &encoded)]), read);
        assert_eq!(trace(all, &[(JAEGER, UBER), (JAEGER, UBER)]), None);
        assert_eq!(trace(all, &[(JAEGER, UBER), (W3C, "nonsense")]), None);
        assert_eq!(trace(all, &[(JAEGER, UBER), (W3C, PARENT), (W3C, PARENT)]), None);
        assert_eq!(trace(USUAL, &[(JAEGER, UBER)]), None);
        assert_eq!(trace("none", &[(W3C, PARENT)]), None);
        assert_eq!(Propagator::new("tracecontext,b3", &[]).1, ["b3"]);
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
        let sent = [(W3C, PARENT), (BAGGAGE, "tenant=a%20b;p=1,secret=canary")];
        assert!(read("tracecontext", &sent).baggage().is_empty());
        let context = read(USUAL, &sent);
        assert_eq!(context.baggage().get("tenant").map(opentelemetry::StringValue::as_str), Some("a b"));
        assert_eq!(context.baggage().len(), 1);
        let sent = context.with_baggage([KeyValue::new("tenant", "x"), KeyValue::new("other", "canary")]);
        let written = |propagators| {
            let mut headers = HeaderMap::new();
            let (propagator, _) = Propagator::new(propagators, &["tenant"]);
            propagator.inject_context(&sent, &mut HeaderInjector(&mut headers));
            headers
        };
        let headers = written("tracecontext,baggage,jaeger");
        assert_eq!(headers[BAGGAGE], "tenant=x");
        assert_eq!(headers[TRACEPARENT], PARENT);
        assert_eq!(headers[JAEGER], format!("0{UBER}"));
        assert!(!headers.contains_key("tracestate"));
        assert_eq!(written("jaeger").len(), 1);
        assert_eq!(written("none").len(), 0);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse_jaeger(&text);
        }
    }
}
