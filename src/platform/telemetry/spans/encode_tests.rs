//! What others read of the spans that `encode.rs` writes.

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1 as proto;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use super::*;

/// A value that is kept.
#[derive(Clone, Debug)]
enum Said {
    Text(String),
    Truth(bool),
    Int(i64),
    Float(f64),
    Shown(Vec<String>),
}

impl Said {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Text(text) => Value::Text(text),
            Self::Truth(truth) => Value::Truth(*truth),
            Self::Int(number) => Value::Int(*number),
            Self::Float(number) => Value::Float(*number),
            Self::Shown(shown) => Value::Shown(shown),
        }
    }

    fn read(&self) -> any_value::Value {
        use any_value::Value as Proto;
        match self {
            Self::Text(text) => Proto::StringValue(text.clone()),
            Self::Truth(truth) => Proto::BoolValue(*truth),
            Self::Int(number) => Proto::IntValue(*number),
            Self::Float(number) => Proto::DoubleValue(*number),
            Self::Shown(shown) => Proto::StringValue(format!("{shown:?}")),
        }
    }
}

type Attributes = Vec<(String, Said)>;

fn any_attributes() -> impl Strategy<Value = Attributes> {
    let value = prop_oneof![
        any::<bool>().prop_map(Said::Truth),
        any::<i64>().prop_map(Said::Int),
        (-1e300f64..1e300).prop_map(Said::Float),
        any::<String>().prop_map(Said::Text),
        "x{0,300}".prop_map(Said::Text),
        vec(any::<String>(), 0..20).prop_map(Said::Shown),
    ];
    vec(("[a-z.]{1,20}", value), 0..6)
}

fn any_context() -> impl Strategy<Value = TraceContext> {
    (1u128.., 1u64.., 0u8..4)
        .prop_map(|(trace_id, span_id, flags)| TraceContext::from_parts(trace_id, span_id, flags).unwrap())
}

fn any_parent() -> impl Strategy<Value = Parent> {
    (any_context(), any::<bool>()).prop_map(|(context, remote)| Parent { context, remote })
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Internal),
        Just(Kind::Server),
        Just(Kind::Client),
        Just(Kind::Producer),
        Just(Kind::Consumer)
    ]
}

fn any_status() -> impl Strategy<Value = Status> {
    prop_oneof![Just(Status::Unset), Just(Status::Ok), Just(Status::Error)]
}

fn read(attributes: &[KeyValue]) -> Vec<(&str, any_value::Value)> {
    let value = |one: &KeyValue| one.value.clone().unwrap().value.unwrap();
    attributes.iter().map(|one| (one.key.as_str(), value(one))).collect()
}

fn said(attributes: &Attributes) -> Vec<(&str, any_value::Value)> {
    attributes.iter().map(|(key, said)| (key.as_str(), said.read())).collect()
}

proptest! {
    #[test]
    fn a_span_is_read_by_others_as_it_was_said(
        context in any_context(),
        parent in proptest::option::of(any_parent()),
        (first, last) in any::<(String, String)>(),
        kind in any_kind(),
        status in any_status(),
        [begun, ended, at] in any::<[u64; 3]>(),
        attributes in any_attributes(),
        events in vec((any::<String>(), vec(("[a-z.]{1,20}", any::<String>()), 0..4)), 0..3),
        links in vec(any_parent(), 0..3),
        [dropped_events, dropped_links] in any::<[u32; 2]>(),
    ) {
        let mut out = Vec::new();
        name(&mut out, &first);
        attributes.iter().for_each(|(key, said)| attribute(&mut out, key, said.value()));
        for (name, attributes) in &events {
            let attributes: Vec<_> = attributes.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
            event(&mut out, at, name, &attributes);
        }
        links.iter().for_each(|other| link(&mut out, *other));
        let name = Some(last.as_str());
        let end = Ended { context, parent, name, kind, status, begun, ended, dropped_events, dropped_links };
        super::ended(&mut out, &end);

        let span = proto::Span::decode(out.as_slice()).unwrap();
        prop_assert_eq!((&*span.trace_id, &*span.span_id), (&context.trace_bytes()[..], &context.span_bytes()[..]));
        let above = parent.map(|parent| parent.context.span_bytes().to_vec()).unwrap_or_default();
        prop_assert_eq!(span.parent_span_id, above);
        prop_assert_eq!((&span.name, span.kind), (&last, kind as i32));
        prop_assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (begun, ended));
        prop_assert_eq!(read(&span.attributes), said(&attributes));
        prop_assert_eq!((span.dropped_events_count, span.dropped_links_count), (dropped_events, dropped_links));
        prop_assert_eq!(span.flags, flags(context, parent.is_some_and(|parent| parent.remote)));
        prop_assert_eq!(span.status.map_or(0, |status| status.code), status as i32);
        prop_assert_eq!(span.events.len(), events.len());
        for (read_event, (name, attributes)) in span.events.iter().zip(&events) {
            prop_assert_eq!((&read_event.name, read_event.time_unix_nano), (name, at));
            let attributes = attributes.iter().map(|(key, value)| (key.clone(), Said::Text(value.clone()))).collect();
            prop_assert_eq!(read(&read_event.attributes), said(&attributes));
        }
        prop_assert_eq!(span.links.len(), links.len());
        for (read, other) in span.links.iter().zip(&links) {
            prop_assert_eq!(&read.trace_id, &other.context.trace_bytes());
            prop_assert_eq!(&read.span_id, &other.context.span_bytes());
            prop_assert_eq!(read.flags, flags(other.context, other.remote));
        }
    }
}
