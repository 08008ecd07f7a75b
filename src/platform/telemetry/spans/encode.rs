//! OTLP's protobuf form of a span, written by hand: field numbers as in
//! <https://github.com/open-telemetry/opentelemetry-proto/tree/v1.7.0/opentelemetry/proto/trace/v1>.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Event, Link, SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;

use super::wire::{bytes, fixed32, fixed64, nested, number, present};

/// Bits of `Span.flags` and `Link.flags` beside the trace flags: whether it is known that the parent is
/// in another process, and whether it is.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// Appends a message `Span`, without tag and length.
pub(super) fn span(out: &mut Vec<u8>, span: &SpanData) {
    context(out, &span.span_context, 3);
    if span.parent_span_id != SpanId::INVALID {
        bytes(out, 4, &span.parent_span_id.to_bytes());
    }
    bytes(out, 5, span.name.as_bytes());
    number(out, 6, kind(&span.span_kind));
    fixed64(out, 7, nanos(span.start_time));
    fixed64(out, 8, nanos(span.end_time));
    attributes(out, 9, &span.attributes);
    number(out, 10, u64::from(span.dropped_attributes_count));
    span.events.events.iter().for_each(|event| nested(out, 11, |out| self::event(out, event)));
    number(out, 12, u64::from(span.events.dropped_count));
    span.links.links.iter().for_each(|link| nested(out, 13, |out| self::link(out, link)));
    number(out, 14, u64::from(span.links.dropped_count));
    status(out, &span.status);
    fixed32(out, 16, flags(&span.span_context, span.parent_span_is_remote));
}

/// Trace id, span id, and the trace state in field `state`.
fn context(out: &mut Vec<u8>, context: &SpanContext, state: u8) {
    bytes(out, 1, &context.trace_id().to_bytes());
    bytes(out, 2, &context.span_id().to_bytes());
    let header = context.trace_state().header();
    if !header.is_empty() {
        bytes(out, state, header.as_bytes());
    }
}

fn flags(context: &SpanContext, remote: bool) -> u32 {
    u32::from(context.trace_flags().to_u8()) | HAS_IS_REMOTE | if remote { IS_REMOTE } else { 0 }
}

fn kind(kind: &SpanKind) -> u64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

fn event(out: &mut Vec<u8>, event: &Event) {
    fixed64(out, 1, nanos(event.timestamp));
    bytes(out, 2, event.name.as_bytes());
    attributes(out, 3, &event.attributes);
    number(out, 4, u64::from(event.dropped_attributes_count));
}

fn link(out: &mut Vec<u8>, link: &Link) {
    context(out, &link.span_context, 3);
    attributes(out, 4, &link.attributes);
    number(out, 5, u64::from(link.dropped_attributes_count));
    fixed32(out, 6, flags(&link.span_context, link.span_context.is_remote()));
}

fn status(out: &mut Vec<u8>, status: &Status) {
    match status {
        Status::Unset => {}
        Status::Ok => nested(out, 15, |out| number(out, 3, 1)),
        Status::Error { description } => nested(out, 15, |out| {
            if !description.is_empty() {
                bytes(out, 2, description.as_bytes());
            }
            number(out, 3, 2);
        }),
    }
}

/// Appends each pair as a message `KeyValue` in `field`.
pub(super) fn attributes(out: &mut Vec<u8>, field: u8, attributes: &[KeyValue]) {
    for attribute in attributes {
        nested(out, field, |out| {
            bytes(out, 1, attribute.key.as_str().as_bytes());
            nested(out, 2, |out| value(out, &attribute.value));
        });
    }
}

/// A message `AnyValue`. Its fields are a `oneof`, so zeros and empty texts are written as well.
fn value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(text) => bytes(out, 1, text.as_str().as_bytes()),
        Value::Bool(truth) => present(out, 2, u64::from(*truth)),
        Value::I64(number) => present(out, 3, *number as u64),
        Value::F64(number) => fixed64(out, 4, number.to_bits()),
        Value::Array(array) => nested(out, 5, |out| self::array(out, array)),
        // The enum may grow; what cannot be told is left empty.
        _ => {}
    }
}

fn array(out: &mut Vec<u8>, array: &Array) {
    fn each<T>(out: &mut Vec<u8>, values: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
        for value in values {
            nested(out, 1, |out| write(out, value));
        }
    }
    match array {
        Array::Bool(values) => each(out, values, |out, truth| present(out, 2, u64::from(*truth))),
        Array::I64(values) => each(out, values, |out, number| present(out, 3, *number as u64)),
        Array::F64(values) => each(out, values, |out, number| fixed64(out, 4, number.to_bits())),
        Array::String(values) => each(out, values, |out, text| bytes(out, 1, text.as_str().as_bytes())),
        _ => {}
    }
}

/// Nanoseconds since 1970, which fit 64 bits until 2554; earlier and later times are cut off there.
fn nanos(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
