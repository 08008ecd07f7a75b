//! The trace id, span id and flags of a line, as hex.

use tracing::{Event, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::platform::telemetry::context::TraceContext;
use crate::platform::telemetry::spans::context_at;

const DIGITS: &[u8; 16] = b"0123456789abcdef";
/// Trace id, span id, flags.
const LENGTH: usize = 32 + 16 + 2;

/// The ids in their hex form, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ids([u8; LENGTH]);

impl Ids {
    pub fn of(context: TraceContext) -> Self {
        let mut hex = [0; LENGTH];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(context.to_bytes()) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        Self(hex)
    }

    /// `,"trace_id":"…","span_id":"…","trace_flags":"…"`
    pub fn json(&self, line: &mut String) {
        let (trace_id, span_id, flags) = self.parts();
        for part in
            [",\"trace_id\":\"", trace_id, "\",\"span_id\":\"", span_id, "\",\"trace_flags\":\"", flags, "\""]
        {
            line.push_str(part);
        }
    }

    /// ` trace_id=… span_id=…`
    pub fn pretty(&self, line: &mut String) {
        let (trace_id, span_id, _) = self.parts();
        for part in [" trace_id=", trace_id, " span_id=", span_id] {
            line.push_str(part);
        }
    }

    fn parts(&self) -> (&str, &str, &str) {
        // Hex digits are ASCII, so neither this nor the splits can fail.
        let text = std::str::from_utf8(&self.0).unwrap_or_default();
        let (trace_id, rest) = text.split_at_checked(32).unwrap_or_default();
        let (span_id, flags) = rest.split_at_checked(16).unwrap_or_default();
        (trace_id, span_id, flags)
    }
}

/// The ids of the innermost span of ours that the event stands in; `None` if it stands in none.
///
/// Nothing is kept in the span: most have one line, and looking the ids up costs less than keeping them.
pub(super) fn of_event<S>(event: &Event<'_>, ctx: &Context<'_, S>) -> Option<Ids>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    ctx.event_span(event).and_then(context_at).map(Ids::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_contexts_own_in_lower_case() {
        let context = TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        let mut line = String::new();
        Ids::of(context).json(&mut line);
        assert_eq!(
            line,
            ",\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\",\"span_id\":\"b7ad6b7169203331\",\"trace_flags\":\"01\""
        );
    }
}
