//! OTLP's protobuf form of a span, written by hand: field numbers as in
//! <https://github.com/open-telemetry/opentelemetry-proto/tree/v1.7.0/opentelemetry/proto/trace/v1>.
//!
//! Length-delimited parts are written first and their length put before them afterwards, so that
//! nothing is walked twice.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Event, Link, SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;

/// Wire types of protobuf's encoding.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const DELIMITED: u8 = 2;
const FIXED32: u8 = 5;

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
    match array {
        Array::Bool(values) => {
            values.iter().for_each(|truth| nested(out, 1, |out| present(out, 2, u64::from(*truth))))
        }
        Array::I64(values) => {
            values.iter().for_each(|number| nested(out, 1, |out| present(out, 3, *number as u64)))
        }
        Array::F64(values) => {
            values.iter().for_each(|number| nested(out, 1, |out| fixed64(out, 4, number.to_bits())))
        }
        Array::String(values) => {
            values.iter().for_each(|text| nested(out, 1, |out| bytes(out, 1, text.as_str().as_bytes())));
        }
        _ => {}
    }
}

/// Nanoseconds since 1970, which fit 64 bits until 2554; earlier and later times are cut off there.
fn nanos(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

fn tag(out: &mut Vec<u8>, field: u8, wire: u8) {
    // Every field number here is below 16 times 8, so a tag takes at most two bytes.
    varint(out, u64::from(field) << 3 | u64::from(wire));
}

/// Appends a base-128 varint.
pub(super) fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A varint that is left out where it is zero, as protobuf's third version has it.
fn number(out: &mut Vec<u8>, field: u8, number: u64) {
    if number != 0 {
        present(out, field, number);
    }
}

fn present(out: &mut Vec<u8>, field: u8, number: u64) {
    tag(out, field, VARINT);
    varint(out, number);
}

fn fixed64(out: &mut Vec<u8>, field: u8, bits: u64) {
    tag(out, field, FIXED64);
    out.extend_from_slice(&bits.to_le_bytes());
}

fn fixed32(out: &mut Vec<u8>, field: u8, bits: u32) {
    tag(out, field, FIXED32);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Appends a string or bytes field.
pub(super) fn bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    tag(out, field, DELIMITED);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends the tag and length of a part that `length` bytes follow.
pub(super) fn head(out: &mut Vec<u8>, field: u8, length: usize) {
    tag(out, field, DELIMITED);
    varint(out, length as u64);
}

/// Appends a message in `field`.
pub(super) fn nested(out: &mut Vec<u8>, field: u8, write: impl FnOnce(&mut Vec<u8>)) {
    tag(out, field, DELIMITED);
    let at = out.len();
    // Nearly every part is shorter than 128 bytes, so one byte is left for its length.
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    match out.get_mut(at) {
        Some(byte) if length < 0x80 => *byte = length as u8,
        _ => {
            let mut prefix = Vec::with_capacity(10);
            varint(&mut prefix, length as u64);
            out.splice(at..=at, prefix);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry::trace::{TraceFlags, TraceId, TraceState};
    use opentelemetry::{InstrumentationScope, StringValue};
    use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
    use opentelemetry_proto::tonic::trace::v1 as proto;
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn any_attributes() -> impl Strategy<Value = Vec<KeyValue>> {
        let text = || any::<String>().prop_map(StringValue::from);
        let value = prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::I64),
            (-1e300f64..1e300).prop_map(Value::F64),
            text().prop_map(Value::String),
            "x{0,300}".prop_map(|text| Value::String(text.into())),
            vec(any::<bool>(), 0..4).prop_map(|values| Value::Array(Array::Bool(values))),
            vec(any::<i64>(), 0..40).prop_map(|values| Value::Array(Array::I64(values))),
            vec(-1e3f64..1e3, 0..4).prop_map(|values| Value::Array(Array::F64(values))),
            vec(text(), 0..4).prop_map(|values| Value::Array(Array::String(values))),
        ];
        vec(("[a-z.]{1,20}", value).prop_map(|(key, value)| KeyValue::new(key, value)), 0..6)
    }

    fn any_context() -> impl Strategy<Value = SpanContext> {
        (any::<u128>(), any::<u64>(), 0u8..4, any::<bool>()).prop_map(|(trace_id, span_id, flags, remote)| {
            let ids = (TraceId::from(trace_id), SpanId::from(span_id));
            SpanContext::new(ids.0, ids.1, TraceFlags::new(flags), remote, TraceState::NONE)
        })
    }

    fn any_status() -> impl Strategy<Value = Status> {
        prop_oneof![Just(Status::Unset), Just(Status::Ok), any::<String>().prop_map(Status::error)]
    }

    fn any_kind() -> impl Strategy<Value = SpanKind> {
        use SpanKind::{Client, Consumer, Internal, Producer, Server};
        prop_oneof![Just(Internal), Just(Server), Just(Client), Just(Producer), Just(Consumer)]
    }

    prop_compose! {
        fn any_span()(
            span_context in any_context(),
            (parent, parent_span_is_remote) in any::<(u64, bool)>(),
            span_kind in any_kind(),
            name in any::<String>(),
            (start, took) in (0u64..1 << 62, 0u64..1 << 40),
            attributes in any_attributes(),
            dropped in any::<[u32; 3]>(),
            events in vec((any::<String>(), any_attributes(), any::<u32>()), 0..3),
            links in vec((any_context(), any_attributes(), any::<u32>()), 0..3),
            status in any_status(),
        ) -> SpanData {
            let start_time = UNIX_EPOCH + Duration::from_nanos(start);
            let events = events.into_iter().map(|(name, attributes, dropped)| Event::new(name, start_time, attributes, dropped));
            let links = links.into_iter().map(|(context, attributes, dropped)| Link::new(context, attributes, dropped));
            let mut all_events = SpanEvents::default();
            (all_events.events, all_events.dropped_count) = (events.collect(), dropped[0]);
            let mut all_links = SpanLinks::default();
            (all_links.links, all_links.dropped_count) = (links.collect(), dropped[1]);
            SpanData {
                span_context, parent_span_id: SpanId::from(parent), parent_span_is_remote, span_kind, name: name.into(),
                start_time, end_time: start_time + Duration::from_nanos(took), attributes,
                dropped_attributes_count: dropped[2], events: all_events, links: all_links, status,
                instrumentation_scope: InstrumentationScope::default(),
            }
        }
    }

    fn expected_value(value: &Value) -> AnyValue {
        use any_value::Value as Proto;
        let array = |values: Vec<Value>| {
            Proto::ArrayValue(opentelemetry_proto::tonic::common::v1::ArrayValue {
                values: values.iter().map(expected_value).collect(),
            })
        };
        let value = match value {
            Value::Bool(truth) => Proto::BoolValue(*truth),
            Value::I64(number) => Proto::IntValue(*number),
            Value::F64(number) => Proto::DoubleValue(*number),
            Value::String(text) => Proto::StringValue(text.to_string()),
            Value::Array(Array::Bool(values)) => array(values.iter().copied().map(Value::Bool).collect()),
            Value::Array(Array::I64(values)) => array(values.iter().copied().map(Value::I64).collect()),
            Value::Array(Array::F64(values)) => array(values.iter().copied().map(Value::F64).collect()),
            Value::Array(Array::String(values)) => array(values.iter().cloned().map(Value::String).collect()),
            _ => unreachable!(),
        };
        AnyValue { value: Some(value) }
    }

    fn agree(sent: &[KeyValue], read: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> bool {
        sent.len() == read.len()
            && sent.iter().zip(read).all(|(sent, read)| {
                sent.key.as_str() == read.key && Some(expected_value(&sent.value)) == read.value
            })
    }

    proptest! {
        #[test]
        fn a_span_is_read_by_others_as_it_was_sent(sent in any_span()) {
            let mut out = Vec::new();
            span(&mut out, &sent);
            let read = proto::Span::decode(out.as_slice()).unwrap();
            prop_assert_eq!(&read.trace_id, &sent.span_context.trace_id().to_bytes());
            prop_assert_eq!(&read.span_id, &sent.span_context.span_id().to_bytes());
            let parent: &[u8] = if sent.parent_span_id == SpanId::INVALID { &[] } else { &sent.parent_span_id.to_bytes() };
            prop_assert_eq!(&read.parent_span_id, parent);
            prop_assert_eq!(&read.name, &sent.name);
            prop_assert_eq!(read.kind as u64, kind(&sent.span_kind));
            prop_assert_eq!(read.start_time_unix_nano, nanos(sent.start_time));
            prop_assert_eq!(read.end_time_unix_nano, nanos(sent.end_time));
            prop_assert!(agree(&sent.attributes, &read.attributes));
            prop_assert_eq!(read.dropped_attributes_count, sent.dropped_attributes_count);
            prop_assert_eq!(read.dropped_events_count, sent.events.dropped_count);
            prop_assert_eq!(read.dropped_links_count, sent.links.dropped_count);
            prop_assert_eq!(read.flags, flags(&sent.span_context, sent.parent_span_is_remote));
            prop_assert_eq!(read.events.len(), sent.events.events.len());
            for (sent, read) in sent.events.events.iter().zip(&read.events) {
                prop_assert_eq!(&read.name, &sent.name);
                prop_assert_eq!(read.time_unix_nano, nanos(sent.timestamp));
                prop_assert!(agree(&sent.attributes, &read.attributes));
                prop_assert_eq!(read.dropped_attributes_count, sent.dropped_attributes_count);
            }
            prop_assert_eq!(read.links.len(), sent.links.links.len());
            for (sent, read) in sent.links.links.iter().zip(&read.links) {
                prop_assert_eq!(&read.trace_id, &sent.span_context.trace_id().to_bytes());
                prop_assert_eq!(&read.span_id, &sent.span_context.span_id().to_bytes());
                prop_assert!(agree(&sent.attributes, &read.attributes));
                prop_assert_eq!(read.flags, flags(&sent.span_context, sent.span_context.is_remote()));
            }
            let status = read.status.map(|status| (status.code, status.message));
            prop_assert_eq!(status, match sent.status {
                Status::Unset => None,
                Status::Ok => Some((1, String::new())),
                Status::Error { description } => Some((2, description.into_owned())),
            });
        }
    }
}
