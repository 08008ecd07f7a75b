//! What others read of the spans that `encode.rs` writes.

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
