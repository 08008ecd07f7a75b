//! A caller's trace.

use rand::random;
use std::fmt;

/// A sampled trace that a caller begins; shown as the value of a `traceparent` header.
#[derive(Clone, Debug)]
pub struct TraceParent {
    pub trace_id: String,
    pub span_id: String,
}

impl TraceParent {
    #[expect(clippy::new_without_default, reason = "each one is another")]
    pub fn new() -> Self {
        // Ids of zeros are invalid.
        let (trace, span) = (random::<u128>() | 1, random::<u64>() | 1);
        Self { trace_id: format!("{trace:032x}"), span_id: format!("{span:016x}") }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-01", self.trace_id, self.span_id)
    }
}
