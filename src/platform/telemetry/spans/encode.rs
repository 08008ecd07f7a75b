//! OTLP's protobuf form of what is said of a span, written by hand: field numbers as in
//! <https://github.com/open-telemetry/opentelemetry-proto/tree/v1.7.0/opentelemetry/proto/trace/v1>.
//! Fields may come in any order, so each is written when it is said.

use std::fmt::{self, Debug, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use super::wire::{bytes, fixed32, fixed64, nested, number, present};
use crate::platform::telemetry::context::TraceContext;

/// `Span.attributes`.
const SPAN_ATTRIBUTES: u8 = 9;
/// Bits of `Span.flags` and `Link.flags` beside the trace flags: whether it is known that the parent is
/// in another process, and whether it is.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// `Span.kind`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Internal = 1,
    Server = 2,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

/// `Status.code`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Status {
    #[default]
    Unset = 0,
    Ok = 1,
    Error = 2,
}

/// An attribute's value.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Truth(bool),
    Int(i64),
    Float(f64),
    /// As its `Debug` shows it.
    Shown(&'a dyn Debug),
}

/// A whole span's part of `Span` that is known when it ends.
pub(super) struct Ended<'a> {
    pub context: TraceContext,
    pub parent: Option<Parent>,
    /// `None` where it was written already.
    pub name: Option<&'a str>,
    pub kind: Kind,
    pub status: Status,
    /// Nanoseconds since 1970.
    pub begun: u64,
    pub ended: u64,
    pub dropped_events: u32,
    pub dropped_links: u32,
}

/// The span above one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parent {
    pub context: TraceContext,
    /// Whether it is another process's.
    pub remote: bool,
}

/// Appends the fields of `Span` that are known when it ends.
pub(super) fn ended(out: &mut Vec<u8>, span: &Ended<'_>) {
    ids(out, span.context);
    if let Some(parent) = span.parent {
        bytes(out, 4, &parent.context.span_bytes());
    }
    if let Some(name) = span.name {
        self::name(out, name);
    }
    number(out, 6, span.kind as u64);
    fixed64(out, 7, span.begun);
    fixed64(out, 8, span.ended);
    number(out, 12, span.dropped_events.into());
    number(out, 14, span.dropped_links.into());
    if span.status != Status::Unset {
        nested(out, 15, |out| number(out, 3, span.status as u64));
    }
    fixed32(out, 16, flags(span.context, span.parent.is_some_and(|parent| parent.remote)));
}

/// Appends `Span.name`; of several the last one holds.
pub(super) fn name(out: &mut Vec<u8>, name: &str) {
    bytes(out, 5, name.as_bytes());
}

/// Appends an element of `Span.attributes`.
pub(super) fn attribute(out: &mut Vec<u8>, key: &str, value: Value<'_>) {
    attribute_in(out, SPAN_ATTRIBUTES, key, value);
}

/// Appends an element of `Span.events`; `at` in nanoseconds since 1970.
pub(super) fn event(out: &mut Vec<u8>, at: u64, name: &str, attributes: &[(&str, String)]) {
    nested(out, 11, |out| {
        fixed64(out, 1, at);
        bytes(out, 2, name.as_bytes());
        attributes.iter().for_each(|(key, value)| attribute_in(out, 3, key, Value::Text(value)));
    });
}

/// Appends an element of `Span.links`.
pub(super) fn link(out: &mut Vec<u8>, other: Parent) {
    nested(out, 13, |out| {
        ids(out, other.context);
        fixed32(out, 6, flags(other.context, other.remote));
    });
}

/// Appends a message `KeyValue` in `field`.
pub(super) fn attribute_in(out: &mut Vec<u8>, field: u8, key: &str, value: Value<'_>) {
    nested(out, field, |out| {
        bytes(out, 1, key.as_bytes());
        nested(out, 2, |out| any_value(out, value));
    });
}

/// A message `AnyValue`. Its fields are a `oneof`, so zeros and empty texts are written as well.
fn any_value(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Text(text) => bytes(out, 1, text.as_bytes()),
        Value::Truth(truth) => present(out, 2, u64::from(truth)),
        Value::Int(number) => present(out, 3, number as u64),
        Value::Float(number) => fixed64(out, 4, number.to_bits()),
        Value::Shown(value) => nested(out, 1, |out| {
            // A value that can't be shown is cut off where it failed.
            let _ = write!(Utf8(out), "{value:?}");
        }),
    }
}

/// Trace id and span id.
fn ids(out: &mut Vec<u8>, context: TraceContext) {
    bytes(out, 1, &context.trace_bytes());
    bytes(out, 2, &context.span_bytes());
}

fn flags(context: TraceContext, remote: bool) -> u32 {
    u32::from(context.flags()) | HAS_IS_REMOTE | if remote { IS_REMOTE } else { 0 }
}

/// Nanoseconds since 1970, which fit 64 bits until 2554; earlier and later times are cut off there.
pub(super) fn nanos(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

/// Writes text as its bytes.
struct Utf8<'a>(&'a mut Vec<u8>);

impl Write for Utf8<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
