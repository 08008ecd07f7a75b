//! What a span says: its place in its trace, values of every kind, and no more than it holds.

use crate::support::{
    collector::{Behaviour, Collector},
    telemetry::start,
};
use epro_notify::platform::telemetry::{SpanExt, TraceContext};
use opentelemetry_proto::tonic::{common::v1::any_value::Value, trace::v1::Span};
use std::time::Duration;
use tracing::info_span;

const LONG: Duration = Duration::from_secs(30);
/// As if the span were the service's own.
const TARGET: &str = "epro_notify::test";

#[test]
fn every_span_arrives_as_it_was_said() {
    let collector = Collector::start(Behaviour::Accept);
    let (telemetry, _) = start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
    ]);
    let (parent, other) = (TraceContext::new_root(), TraceContext::new_root());
    telemetry.run(|| {
        let outer = info_span!(target: TARGET, "outer", otel.kind = "server", http.route = "/a/{b}", later = tracing::field::Empty);
        outer.continue_from(parent);
        outer.in_scope(|| drop(info_span!(target: TARGET, "inner", otel.kind = "client", rows = 7i64, ratio = 0.5)));
        outer.record("later", true);
        outer.link_to(other);
        outer.add_event("split", &[("why", "too long".to_owned())]);
        let library = info_span!(target: "h2::client", "a library's");
        library.in_scope(|| tracing::info!("a line is no span event"));
    });
    assert!(telemetry.telemetry.shutdown(LONG));
    let spans = collector.spans();
    let [inner, outer] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((inner.name.as_str(), outer.name.as_str()), ("inner", "outer"));
    assert_eq!((inner.kind, outer.kind), (3, 2));
    assert_eq!(hex(&outer.trace_id), parent.trace_id());
    assert_eq!(hex(&outer.parent_span_id), parent.span_id());
    assert_eq!((&inner.trace_id, &inner.parent_span_id), (&outer.trace_id, &outer.span_id));
    assert_eq!(
        attributes(outer),
        [("http.route", Value::StringValue("/a/{b}".to_owned())), ("later", Value::BoolValue(true))]
    );
    assert_eq!(attributes(inner), [("rows", Value::IntValue(7)), ("ratio", Value::DoubleValue(0.5))]);
    assert_eq!(hex(&outer.links[0].trace_id), other.trace_id());
    assert_eq!(outer.events.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["split"]);
    assert!(outer.start_time_unix_nano <= inner.start_time_unix_nano);
    assert!(inner.end_time_unix_nano <= outer.end_time_unix_nano);
    let resource = collector.received()[0].resource.clone().unwrap();
    let keys: Vec<_> = resource.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    assert_eq!(
        keys,
        ["service.name", "service.version", "service.instance.id", "deployment.environment.name"]
    );
    assert_eq!(collector.metadata()[0].get("authorization").unwrap(), "Bearer secret");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(span: &Span) -> Vec<(&str, Value)> {
    let value = |attribute: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        attribute.value.clone().unwrap().value.unwrap()
    };
    span.attributes.iter().map(|attribute| (attribute.key.as_str(), value(attribute))).collect()
}

/// Writes a line while it is formatted, in the span that it is said of.
struct Chatty;

impl std::fmt::Debug for Chatty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        tracing::info!("it is formatted");
        f.write_str("said")
    }
}

#[test]
fn a_value_of_any_kind_is_said_even_one_that_writes_lines() {
    let collector = Collector::start(Behaviour::Accept);
    let (telemetry, lines) = start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())]);
    telemetry.run(|| {
        let span = info_span!(target: TARGET, "work", first = ?Chatty, small = 7u64, large = u64::MAX, later = tracing::field::Empty);
        span.in_scope(|| {
            span.record("later", tracing::field::debug(Chatty));
        });
        drop(span);
        let failure: &(dyn std::error::Error + 'static) = &std::fmt::Error;
        drop(info_span!(target: TARGET, "work", otel.name = "renamed", otel.status_code = "ERROR", failure));
    });
    assert!(telemetry.telemetry.shutdown(LONG));
    let spans = collector.spans();
    let text = |text: &str| Value::StringValue(text.to_owned());
    let large = text(&u64::MAX.to_string());
    let expected =
        [("first", text("said")), ("small", Value::IntValue(7)), ("large", large), ("later", text("said"))];
    assert_eq!(attributes(&spans[0]), expected);
    assert_eq!((spans[0].name.as_str(), spans[1].name.as_str()), ("work", "renamed"));
    assert_eq!(spans[1].status.as_ref().map(|status| status.code), Some(2));
    assert_eq!(attributes(&spans[1]), [("failure", text(&std::fmt::Error.to_string()))]);
    // What is written while a span is made is not heard by a subscriber that is not the process's own.
    let heard =
        lines.objects().into_iter().filter(|line| line["message"] == "it is formatted").collect::<Vec<_>>();
    let [line] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!(line["span_id"], hex(&spans[0].span_id));
}

#[test]
fn more_events_and_links_than_a_span_holds_are_counted() {
    let collector = Collector::start(Behaviour::Accept);
    let (telemetry, _) = start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())]);
    telemetry.run(|| {
        let span = info_span!(target: TARGET, "work");
        for _ in 0..130 {
            span.add_event("again", &[]);
            span.link_to(TraceContext::new_root());
        }
    });
    assert!(telemetry.telemetry.shutdown(LONG));
    let span = &collector.spans()[0];
    assert_eq!((span.events.len(), span.dropped_events_count), (128, 2));
    assert_eq!((span.links.len(), span.dropped_links_count), (128, 2));
}

#[test]
fn a_child_is_in_its_parents_trace_wherever_it_is_made_and_of_what_is_not_sampled_nothing_is_sent() {
    let collector = Collector::start(Behaviour::Accept);
    let (telemetry, _) = start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())]);
    let parents = [TraceContext::new_root(), unsampled()];
    telemetry.run(|| {
        for parent in parents {
            let outer = info_span!(target: TARGET, "outer");
            outer.continue_from(parent);
            let inner = info_span!(target: TARGET, parent: &outer, "inner", later = tracing::field::Empty);
            inner.record("later", true);
            let (outer, inner) = (outer.trace_context().unwrap(), inner.trace_context().unwrap());
            assert_eq!((outer.trace_id(), inner.trace_id()), (parent.trace_id(), parent.trace_id()));
            assert_ne!(outer.span_id(), inner.span_id());
            assert_eq!((outer.sampled(), inner.sampled()), (parent.sampled(), parent.sampled()));
        }
    });
    assert!(telemetry.telemetry.shutdown(LONG));
    let spans = collector.spans();
    let [inner, outer] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((hex(&outer.trace_id), &inner.parent_span_id), (parents[0].trace_id(), &outer.span_id));
}

fn unsampled() -> TraceContext {
    TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00").unwrap()
}
