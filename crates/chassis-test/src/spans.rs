//! Questions about exported spans.

pub use opentelemetry_proto::tonic::common::v1::any_value::Value;
pub use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, Span,
    span::{Event, SpanKind},
    status::StatusCode,
};

/// Lower-case hex, as headers and lines have it.
pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// The span of this id.
pub fn span_of<'a>(spans: &'a [Span], span_id: &str) -> Option<&'a Span> {
    spans.iter().find(|span| hex(&span.span_id) == span_id)
}

/// The attribute of this name.
pub fn attribute<'a>(span: &'a Span, name: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|attribute| attribute.key == name)?.value.as_ref()?.value.as_ref()
}

/// An attribute that is a text.
pub fn text<'a>(span: &'a Span, name: &str) -> &'a str {
    match attribute(span, name) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{name} is {other:?}: {span:#?}"),
    }
}

/// An attribute that is an integer.
pub fn integer(span: &Span, name: &str) -> i64 {
    match attribute(span, name) {
        Some(Value::IntValue(number)) => *number,
        other => panic!("{name} is {other:?}: {span:#?}"),
    }
}

/// An attribute that is a number with a fraction.
pub fn float(span: &Span, name: &str) -> f64 {
    match attribute(span, name) {
        Some(Value::DoubleValue(number)) => *number,
        other => panic!("{name} is {other:?}: {span:#?}"),
    }
}

/// Spans of this name and kind.
pub fn named(spans: &[Span], name: &str, kind: SpanKind) -> Vec<Span> {
    spans.iter().filter(|span| span.name == name && span.kind() == kind).cloned().collect()
}
