//! The W3C trace context as the rest of the service sees it, without OpenTelemetry's types.

use std::fmt;

/// A W3C trace context: which trace, which span in it, and whether it is sampled.
///
/// Written as the `traceparent` header, version 00 (<https://www.w3.org/TR/trace-context/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

impl TraceContext {
    /// Length of [`Self::to_bytes`].
    pub const BYTES: usize = 25;

    /// Reads a `traceparent` header; `None` if it is not valid.
    pub fn parse(_header: &str) -> Option<Self> {
        todo!()
    }

    /// A new trace.
    pub fn new_root() -> Self {
        todo!()
    }

    /// The caller's context.
    pub fn from_headers(_headers: &http::HeaderMap) -> Option<Self> {
        None
    }

    /// Sets `traceparent`.
    pub fn inject(&self, _headers: &mut http::HeaderMap) {
        todo!()
    }

    /// The context's storage form: trace id, span id, flags, big-endian.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        todo!()
    }

    /// Reads [`Self::to_bytes`] back; `None` for another length or all-zero ids.
    pub fn from_bytes(_bytes: &[u8]) -> Option<Self> {
        todo!()
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
        self.flags & 1 == 1
    }

    /// The context of the current tracing span, if there is one.
    pub fn current() -> Option<Self> {
        None
    }
}

/// Shown as the `traceparent` header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// What the rest of the service does with a span's place in its trace.
pub trait SpanExt {
    /// Makes the span a child of `parent`. Has to be the first thing done with the span: once it has
    /// started (an event, a child, `trace_context`) its parent is fixed; a failure is counted.
    fn continue_from(&self, parent: TraceContext);
    /// As [`Self::continue_from`] for a caller that is not trusted: our own sampler decides.
    fn continue_from_untrusted(&self, parent: TraceContext);
    /// This span's own context; starts the span.
    fn trace_context(&self) -> Option<TraceContext>;
    /// Links another span to this one.
    fn link_to(&self, other: TraceContext);
    /// Adds a span event; never a log line.
    fn add_event(&self, name: &'static str, attributes: &[(&'static str, String)]);
}

impl SpanExt for tracing::Span {
    fn continue_from(&self, _parent: TraceContext) {
        todo!()
    }
    fn continue_from_untrusted(&self, _parent: TraceContext) {
        todo!()
    }
    fn trace_context(&self) -> Option<TraceContext> {
        None
    }
    fn link_to(&self, _other: TraceContext) {
        todo!()
    }
    fn add_event(&self, _name: &'static str, _attributes: &[(&'static str, String)]) {
        todo!()
    }
}
