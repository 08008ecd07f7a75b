//! Spans on their way to a collector, over real sockets: all of them arrive, and where they cannot,
//! nobody waits and each is accounted for.

use crate::support::{
    collector::{Behaviour, Collector},
    telemetry::{Account, start},
};
use epro_notify::platform::telemetry::{SpanExt, TestTelemetry, TraceContext};
use opentelemetry_proto::tonic::{common::v1::any_value::Value, trace::v1::Span};
use std::{
    net::TcpListener,
    time::{Duration, Instant},
};
use tonic::Code;
use tracing::info_span;

const LONG: Duration = Duration::from_secs(30);
/// As if the span were the service's own.
const TARGET: &str = "epro_notify::test";

fn end_spans(telemetry: &TestTelemetry, count: usize) {
    telemetry.run(|| (0..count).for_each(|_| drop(info_span!(target: TARGET, "work"))));
}

/// Ends spans, shuts down, and gives the account, which has to be exact.
fn account_of(telemetry: TestTelemetry, spans: usize, wait: Duration) -> Account {
    end_spans(&telemetry, spans);
    let metrics = telemetry.telemetry.metrics.clone();
    telemetry.telemetry.shutdown(wait);
    let account = Account::of(&metrics.render());
    assert!(account.is_exact(), "{account:?}");
    assert_eq!((account.ended, account.queued), (spans as u64, 0));
    account
}

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
    assert_eq!(lines.objects().iter().filter(|line| line["message"] == "it is formatted").count(), 2);
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

#[test]
fn spans_of_many_threads_arrive_once_each() {
    let collector = Collector::start(Behaviour::Accept);
    let (telemetry, _) = start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())]);
    std::thread::scope(|scope| {
        (0..4).for_each(|_| drop(scope.spawn(|| end_spans(&telemetry, 5000))));
    });
    let metrics = telemetry.telemetry.metrics.clone();
    assert!(telemetry.telemetry.shutdown(LONG));
    let account = Account::of(&metrics.render());
    assert_eq!(account, Account { ended: 20_000, exported: 20_000, failed: 0, dropped: 0, queued: 0 });
    let mut ids: Vec<_> = collector.spans().into_iter().map(|span| span.span_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20_000);
}

#[test]
fn spans_arrive_soon_without_being_asked_for() {
    let collector = Collector::start(Behaviour::Accept);
    let (telemetry, _) = start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())]);
    end_spans(&telemetry, 1);
    let begun = Instant::now();
    while collector.spans().is_empty() {
        assert!(begun.elapsed() < LONG);
        std::thread::yield_now();
    }
}

#[test]
fn a_collector_that_recovers_loses_nothing_and_is_counted_once() {
    let collector = Collector::start(Behaviour::Fail(2, Code::Unavailable));
    let (telemetry, _) = start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())]);
    end_spans(&telemetry, 50);
    assert!(telemetry.telemetry.flusher().flush(LONG));
    assert_eq!(collector.calls(), 3);
    let account = Account::of(&telemetry.telemetry.metrics.render());
    assert_eq!(account, Account { ended: 50, exported: 50, failed: 0, dropped: 0, queued: 0 });
}

#[test]
fn a_refusal_for_good_is_not_repeated() {
    let collector = Collector::start(Behaviour::Fail(usize::MAX, Code::InvalidArgument));
    let (telemetry, _) = start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())]);
    assert_eq!(account_of(telemetry, 50, LONG).failed, 50);
    assert_eq!(collector.calls(), 1);
}

#[test]
fn spans_that_the_collector_rejects_have_failed() {
    let collector = Collector::start(Behaviour::Reject(3));
    let (telemetry, _) = start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())]);
    let account = account_of(telemetry, 50, LONG);
    assert_eq!((account.exported, account.failed), (47, 3));
}

#[test]
fn a_slow_collector_gets_everything() {
    let collector = Collector::start(Behaviour::Slow(Duration::from_millis(50)));
    let (telemetry, _) = start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100"),
    ]);
    assert_eq!(account_of(telemetry, 1000, LONG).exported, 1000);
    assert!(collector.received().iter().all(|resource| resource.scope_spans[0].spans.len() <= 100));
}

#[test]
fn without_a_collector_the_queue_is_bounded_and_the_end_is_quick() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (telemetry, _) =
        start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_BSP_MAX_QUEUE_SIZE", "100")]);
    let begun = Instant::now();
    let account = account_of(telemetry, 10_000, LONG);
    assert_eq!(account.exported, 0);
    assert!(account.dropped >= 9000, "{account:?}");
    assert!(begun.elapsed() < LONG / 2);
}

#[test]
fn a_collector_behind_tls_can_be_named() {
    for protocol in ["grpc", "http/protobuf"] {
        let (telemetry, _) = start(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:9"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ]);
        assert_eq!(account_of(telemetry, 10, LONG).exported, 0);
    }
}

#[test]
fn a_black_hole_blocks_nobody_and_cannot_hold_the_end() {
    // Takes connections and never answers.
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", hole.local_addr().unwrap());
    let (telemetry, _) =
        start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_BSP_MAX_QUEUE_SIZE", "500")]);
    let begun = Instant::now();
    let account = account_of(telemetry, 10_000, Duration::from_millis(500));
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!((account.exported, account.dropped + account.failed), (0, 10_000));
}

#[test]
fn a_collector_that_never_answers_fails_batches_and_frees_their_room() {
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", hole.local_addr().unwrap());
    let (telemetry, _) = start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "50"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "200"),
    ]);
    end_spans(&telemetry, 10);
    assert!(telemetry.telemetry.flusher().flush(LONG));
    let account = Account::of(&telemetry.telemetry.metrics.render());
    assert_eq!(account, Account { ended: 10, exported: 0, failed: 10, dropped: 0, queued: 0 });
}

#[test]
fn an_untrusted_caller_neither_forces_nor_prevents_recording() {
    let collector = Collector::start(Behaviour::Accept);
    for (sampler, expected) in [("parentbased_always_on", 2), ("parentbased_always_off", 0)] {
        let (telemetry, _) = start(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()),
            ("OTEL_TRACES_SAMPLER", sampler),
        ]);
        let before = collector.spans().len();
        telemetry.run(|| {
            for flags in ["00", "01"] {
                let header = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
                let span = info_span!(target: TARGET, "work");
                span.continue_from_untrusted(TraceContext::parse(&header).unwrap());
                assert_eq!(span.trace_context().unwrap().trace_id(), "0af7651916cd43dd8448eb211c80319c");
            }
        });
        assert!(telemetry.telemetry.shutdown(LONG));
        assert_eq!(collector.spans().len() - before, expected, "{sampler}");
    }
}

#[test]
fn a_parent_that_comes_too_late_is_counted() {
    let (telemetry, _) = start(&[]);
    telemetry.run(|| {
        let span = info_span!(target: TARGET, "work");
        span.continue_from(TraceContext::new_root());
        assert!(span.trace_context().is_some());
        span.continue_from(TraceContext::new_root());
    });
    let metrics = telemetry.telemetry.metrics.render();
    assert_eq!(crate::support::telemetry::value(&metrics, "telemetry_late_parents_total"), 1);
}
