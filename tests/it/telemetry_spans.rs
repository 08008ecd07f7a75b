//! Spans on their way to a collector, over real sockets: all of them arrive, and where they cannot,
//! nobody waits and each is accounted for.

use crate::support::{
    collector::{Behaviour, Collector},
    telemetry::{Account, start},
};
use epro_notify::platform::telemetry::{SpanExt, TestTelemetry, TraceContext};
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
