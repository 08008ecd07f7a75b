//! The W3C trace context.
//!
//! What is done with it lives beside: spans in `span_ext.rs`, headers in `propagation.rs`.

use std::fmt;

use super::span_ext::innermost_context;

/// A W3C trace context: which trace, which span in it, and whether it is sampled.
///
/// Written as the `traceparent` header, version 00 (<https://www.w3.org/TR/trace-context/>).
/// `tracestate` is not carried: nothing here reads it, it may hold what a caller put there, and the
/// recommendation lets a participant drop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

/// The flags that level 2 of the recommendation defines: sampled and random.
const KNOWN_FLAGS: u8 = 0b11;
const SAMPLED: u8 = 0b01;
/// `00-<32>-<16>-<2>`.
const HEADER_LENGTH: usize = 55;

impl TraceContext {
    /// Length of [`Self::to_bytes`].
    pub const BYTES: usize = 25;

    /// A context of random ids that are not zero, sampled: the root of a trace.
    pub fn new_root() -> Self {
        let (trace_id, span_id) = (rand::random_range(1..=u128::MAX), rand::random_range(1..=u64::MAX));
        Self { trace_id, span_id, flags: SAMPLED }
    }

    /// A span below this one, in the same trace.
    pub(super) fn child(self) -> Self {
        Self { span_id: rand::random_range(1..=u64::MAX), ..self }
    }

    /// As [`Self::child`], for a span that has its id.
    pub(super) fn child_as(self, child: Self) -> Self {
        Self { span_id: child.span_id, ..self }
    }

    /// The context of these ids; `None` if one is zero.
    pub(super) fn from_parts(trace_id: u128, span_id: u64, flags: u8) -> Option<Self> {
        (trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, flags: flags & KNOWN_FLAGS })
    }

    /// Reads a `traceparent` header; `None` if it is not valid.
    ///
    /// A version above 00 is read by its first 55 characters, as the recommendation asks; `ff` is never valid.
    pub fn parse(header: &str) -> Option<Self> {
        let bytes = header.as_bytes();
        let (known, rest) = bytes.split_at_checked(HEADER_LENGTH)?;
        let version = hex(known.get(..2)?)?;
        let well_ended =
            if version == 0 { rest.is_empty() } else { rest.first().is_none_or(|&byte| byte == b'-') };
        let dashes = [2, 35, 52].iter().all(|&at| known.get(at) == Some(&b'-'));
        if version == 0xff || !well_ended || !dashes {
            return None;
        }
        let trace_id = hex(known.get(3..35)?)?;
        let span_id = u64::try_from(hex(known.get(36..52)?)?).ok()?;
        let flags = u8::try_from(hex(known.get(53..55)?)?).ok()?;
        Self::from_parts(trace_id, span_id, flags)
    }

    /// The context's storage form: trace id, span id, flags, big-endian.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.trace_id.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.span_id.to_be_bytes());
        bytes[24] = self.flags;
        bytes
    }

    /// Reads [`Self::to_bytes`] back; `None` for another length or all-zero ids.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let trace_id = u128::from_be_bytes(*bytes.first_chunk()?);
        let span_id = u64::from_be_bytes(bytes[16..24].try_into().ok()?);
        Self::from_parts(trace_id, span_id, bytes[24])
    }

    /// 32 lower-case hex digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// 16 lower-case hex digits.
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span_id)
    }

    /// Whether spans of this trace are recorded.
    pub fn sampled(&self) -> bool {
        self.flags & SAMPLED == SAMPLED
    }

    /// The same place in the same trace, sampled or not.
    pub(super) fn with_sampled(self, sampled: bool) -> Self {
        let flags = if sampled { self.flags | SAMPLED } else { self.flags & !SAMPLED };
        Self { flags, ..self }
    }

    /// The context of the current tracing span, if there is one.
    pub fn current() -> Option<Self> {
        tracing::dispatcher::get_default(|dispatch| {
            innermost_context(dispatch.current_span().id()?, dispatch)
        })
    }

    pub(super) fn trace_number(&self) -> u128 {
        self.trace_id
    }

    pub(super) fn trace_bytes(self) -> [u8; 16] {
        self.trace_id.to_be_bytes()
    }

    pub(super) fn span_bytes(self) -> [u8; 8] {
        self.span_id.to_be_bytes()
    }

    pub(super) fn flags(self) -> u8 {
        self.flags
    }
}

/// Shown as the `traceparent` header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// Lower-case hex digits as a number; `None` for anything else, or more than 32 of them.
fn hex(digits: &[u8]) -> Option<u128> {
    if digits.len() > 32 {
        return None;
    }
    digits.iter().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
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
        let flags = VALID.replacen("-01", "-ff", 1);
        assert_eq!(TraceContext::parse(&flags).map(|context| context.flags), Some(KNOWN_FLAGS));
    }

    proptest! {
        #[test]
        fn a_context_survives_header_and_storage(trace_id in 1u128.., span_id in 1u64.., flags in 0u8..4) {
            let context = TraceContext { trace_id, span_id, flags };
            prop_assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
            prop_assert_eq!(TraceContext::from_bytes(&context.to_bytes()), Some(context));
        }

        #[test]
        fn no_text_and_no_bytes_panic(text in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = TraceContext::parse(&text);
            let _ = TraceContext::from_bytes(&bytes);
        }

        #[test]
        fn what_is_read_is_what_is_written(text in "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}") {
            if let Some(context) = TraceContext::parse(&text) {
                let shown = context.to_string();
                prop_assert_eq!(shown.get(2..52), text.get(2..52));
            }
        }
    }
}
