//! The trace context in HTTP headers and gRPC metadata: W3C's in and out, Jaeger's own in.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::context::TraceContext;

/// The W3C header.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Jaeger's header, from clients older than W3C's.
const UBER_TRACE_ID: HeaderName = HeaderName::from_static("uber-trace-id");

impl TraceContext {
    /// The caller's context: a valid `traceparent` that is there exactly once, or a valid
    /// `uber-trace-id` where there is no `traceparent` at all.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        if headers.contains_key(TRACEPARENT) {
            Self::parse(once(headers, TRACEPARENT)?)
        } else {
            Self::parse_jaeger(once(headers, UBER_TRACE_ID)?)
        }
    }

    /// Sets `traceparent`.
    pub fn inject(&self, headers: &mut HeaderMap) {
        // The text is hex and dashes, so this cannot fail.
        if let Ok(mut value) = HeaderValue::from_bytes(&self.header()) {
            // Not to be kept in HTTP/2's table of headers: each is another one, and would push out what comes again.
            value.set_sensitive(true);
            headers.insert(TRACEPARENT, value);
        }
    }

    /// What [`ToString`] gives, without its cost: every answer carries it.
    fn header(self) -> [u8; 55] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut header = *b"00-................................-................-..";
        let places = header.iter_mut().skip(3).filter(|place| **place == b'.');
        let digits = self.to_bytes().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
        for (place, digit) in places.zip(digits) {
            *place = DIGITS[usize::from(digit)];
        }
        header
    }

    /// Reads `{trace-id}:{span-id}:{parent-span-id}:{flags}`, where leading zeros may be left out
    /// (<https://www.jaegertracing.io/sdk-migration/#propagation-format>).
    fn parse_jaeger(header: &str) -> Option<Self> {
        // Some clients percent-encode the colons.
        let header = header.replace("%3A", ":").replace("%3a", ":");
        let mut parts = header.split(':');
        let (trace_id, span_id) = (number(parts.next()?, 32)?, number(parts.next()?, 16)?);
        let (_parent, flags) = (number(parts.next()?, 16)?, number(parts.next()?, 2)?);
        if parts.next().is_some() {
            return None;
        }
        // Bit 0 is "sampled" as in W3C's flags; bit 1 means "debug" here, "random" there.
        Self::from_parts(trace_id, u64::try_from(span_id).ok()?, u8::from(flags & 1 == 1))
    }
}

/// A header's value if it is there once, as text.
fn once(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

/// One to `digits` hex digits of either case.
fn number(text: &str, digits: usize) -> Option<u128> {
    let valid = (1..=digits).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if valid { u128::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const W3C: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn what_is_injected_is_read_back() {
        let (context, mut headers) = (TraceContext::new_root(), HeaderMap::new());
        context.inject(&mut headers);
        context.inject(&mut headers);
        assert_eq!(TraceContext::from_headers(&headers), Some(context));
        assert_eq!(headers[TRACEPARENT], context.to_string());
    }

    #[test]
    fn two_traceparents_are_none() {
        let twice: HeaderMap = [(TRACEPARENT, HeaderValue::from_static(W3C)); 1].into_iter().collect();
        let mut both = twice.clone();
        both.append(TRACEPARENT, HeaderValue::from_static(W3C));
        assert!(TraceContext::from_headers(&twice).is_some());
        assert_eq!(TraceContext::from_headers(&both), None);
    }

    #[test]
    fn jaegers_header_is_read_only_without_a_traceparent() {
        let jaeger = "af7651916cd43dd8448eb211c80319c:b7ad6b7169203331:0:1";
        assert_eq!(
            TraceContext::from_headers(&headers(&[("uber-trace-id", jaeger)])),
            TraceContext::parse(W3C)
        );
        let encoded = jaeger.replace(':', "%3A");
        assert_eq!(
            TraceContext::from_headers(&headers(&[("uber-trace-id", &encoded)])),
            TraceContext::parse(W3C)
        );
        let both = headers(&[("uber-trace-id", jaeger), ("traceparent", "nonsense")]);
        assert_eq!(TraceContext::from_headers(&both), None);
    }

    #[test]
    fn malformed_jaeger_headers_are_refused() {
        for bad in [
            "",
            "1",
            "1:2:3",
            "0:1:0:1",
            "1:0:0:1",
            "1:2:0:1:5",
            "1:+2:0:1",
            "g:2:0:1",
            "1:2:0:",
            "1:12345678901234567:0:1",
        ] {
            assert_eq!(TraceContext::parse_jaeger(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_jaeger_context_is_read(trace_id in 1u128.., span_id in 1u64.., flags in 0u8..16) {
            let context = TraceContext::parse_jaeger(&format!("{trace_id:x}:{span_id:x}:0:{flags:x}"));
            prop_assert_eq!(context, TraceContext::from_parts(trace_id, span_id, flags & 1));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = TraceContext::parse_jaeger(&text);
        }
    }
}
