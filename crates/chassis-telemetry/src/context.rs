//! The W3C trace context as a small value that can be kept and compared.

use std::fmt;

use http::{HeaderMap, HeaderValue};
use opentelemetry::trace::{SpanContext, TraceContextExt as _, TraceState};
use opentelemetry::{SpanId, TraceFlags, TraceId};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};
use tracing::dispatcher;

use crate::{bridge, propagation};

/// Which trace, which span in it, and whether it is sampled.
///
/// Displayed as the `traceparent` header (<https://www.w3.org/TR/trace-context/>). `tracestate` is not carried: it
/// may hold anything that a caller put there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceContext {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) flags: TraceFlags,
}

impl TraceContext {
    /// Length of [`Self::to_bytes`].
    pub const BYTES: usize = 25;

    /// A sampled context of random ids: the root of a trace.
    pub fn new_root() -> Self {
        let ids = RandomIdGenerator::default();
        Self { trace_id: ids.new_trace_id(), span_id: ids.new_span_id(), flags: TraceFlags::SAMPLED }
    }

    /// Reads a `traceparent` header; `None` if it is not valid.
    ///
    /// A version above 00 is read by its first 55 characters, as the recommendation asks; `ff` is never valid.
    pub fn parse(header: &str) -> Option<Self> {
        let (known, rest) = header.split_at_checked(55)?;
        let mut parts = known.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lengths = (version.len(), trace.len(), span.len(), flags.len()) == (2, 32, 16, 2);
        let digits = known.bytes().all(|byte| matches!(byte, b'-' | b'0'..=b'9' | b'a'..=b'f'));
        let well_ended = rest.is_empty() || version != "00" && rest.starts_with('-');
        let valid = lengths && digits && well_ended && version != "ff";
        let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
        Self::new(trace, span, u8::from_str_radix(flags, 16).ok()?).filter(|_| valid)
    }

    /// The caller's context; `None` if the header is there twice or not valid.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        Self::of(propagation::extract(headers).span().span_context())
    }

    /// Sets `traceparent`. Outgoing requests use [`propagation::inject`], which knows the other headers as well.
    pub fn inject(&self, headers: &mut HeaderMap) {
        if let Ok(mut value) = HeaderValue::try_from(self.to_string()) {
            // Each is another one: kept in HTTP/2's header table it would push out what comes again.
            value.set_sensitive(true);
            headers.insert(propagation::TRACEPARENT, value);
        }
    }

    /// The storage form: trace id, span id, flags, big-endian.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.trace_id.to_bytes());
        bytes[16..24].copy_from_slice(&self.span_id.to_bytes());
        bytes[24] = self.flags.to_u8();
        bytes
    }

    /// Reads [`Self::to_bytes`] back; `None` for another length or all-zero ids.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let span_id = SpanId::from_bytes(bytes[16..24].try_into().ok()?);
        Self::new(TraceId::from_bytes(*bytes.first_chunk()?), span_id, bytes[24])
    }

    /// 32 lower-case hex digits.
    pub fn trace_id(&self) -> String {
        self.trace_id.to_string()
    }

    /// 16 lower-case hex digits.
    pub fn span_id(&self) -> String {
        self.span_id.to_string()
    }

    /// Whether spans of this trace are recorded.
    pub fn sampled(&self) -> bool {
        self.flags.is_sampled()
    }

    /// The context of the current tracing span, if there is one: what outgoing headers, exemplars and lines name.
    pub fn current() -> Option<Self> {
        dispatcher::get_default(|dispatch| bridge::of_id(dispatch.current_span().id()?, dispatch))
    }

    /// Knows no flag but "sampled"; `None` if an id is zero.
    fn new(trace_id: TraceId, span_id: SpanId, flags: u8) -> Option<Self> {
        let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
        let valid = trace_id != TraceId::INVALID && span_id != SpanId::INVALID;
        valid.then_some(Self { trace_id, span_id, flags })
    }

    pub(crate) fn of(span: &SpanContext) -> Option<Self> {
        Self::new(span.trace_id(), span.span_id(), span.trace_flags().to_u8())
    }

    /// As OpenTelemetry's type, of a span in another process.
    pub(crate) fn to_remote(self) -> SpanContext {
        SpanContext::new(self.trace_id, self.span_id, self.flags, true, TraceState::NONE)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_recommendations_own_example_is_read() {
        let context = TraceContext::parse(VALID).unwrap();
        assert_eq!(context.to_string(), VALID);
        assert_eq!(context.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id(), "b7ad6b7169203331");
        assert!(context.sampled());
    }

    #[test]
    fn what_the_recommendation_forbids_is_refused() {
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01what",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0é",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_later_version_is_read_by_what_is_known_of_it() {
        let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-holds";
        assert_eq!(TraceContext::parse(later), TraceContext::parse(VALID));
        assert_eq!(TraceContext::parse(&VALID.replacen("00", "01", 1)), TraceContext::parse(VALID));
        assert_eq!(TraceContext::parse(&VALID.replacen("-01", "-ff", 1)), TraceContext::parse(VALID));
    }

    proptest! {
        #[test]
        fn a_context_survives_header_and_storage(trace_id in 1u128.., span_id in 1u64.., sampled: bool) {
            let context = TraceContext::new(trace_id.into(), span_id.into(), sampled.into()).unwrap();
            prop_assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
            prop_assert_eq!(TraceContext::from_bytes(&context.to_bytes()), Some(context));
        }

        #[test]
        fn no_text_and_no_bytes_panic(text in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (TraceContext::parse(&text), TraceContext::from_bytes(&bytes));
        }
    }
}
