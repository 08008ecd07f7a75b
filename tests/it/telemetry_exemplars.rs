//! What a histogram keeps of traces: the last sampled one a bucket, whatever the labels, and nothing else.

use crate::support::{open_metrics::Page, telemetry::start};
use epro_notify::platform::telemetry::{Exposition, SpanExt, TestTelemetry, TraceContext, names};
use metrics::histogram;
use tracing::info_span;

/// Only spans of the service are traced.
const TARGET: &str = "epro_notify::test";

fn page(telemetry: &TestTelemetry) -> Page {
    Page::read(&telemetry.telemetry.metrics.render_as(Exposition::OpenMetrics))
}

/// Records this in a span of its own, and returns that span's trace and span id.
fn record_in_span(name: &'static str, label: &str, value: f64) -> (String, String) {
    let span = info_span!(target: TARGET, "a request");
    let context = span.trace_context().unwrap();
    span.in_scope(|| histogram!(name, names::LABEL_ROUTE => label.to_owned()).record(value));
    (context.trace_id(), context.span_id())
}

#[test]
fn every_histogram_keeps_the_last_sampled_trace_of_each_bucket() {
    let (telemetry, _) = start(&[("OTEL_TRACES_SAMPLER", "always_on")]);
    let expected: Vec<_> = telemetry.run(|| {
        let histograms = names::HISTOGRAMS.iter();
        let recorded = histograms.map(|(name, edges)| {
            let label = "/a\"b\\c\n,le=\"1\"}";
            let record = |value| record_in_span(name, label, value);
            // On each edge, which belongs to the bucket below it, twice; and beyond the last.
            let kept: Vec<_> = edges.iter().map(|edge| (record(*edge), record(*edge)).1).collect();
            (name, kept, record(1e9))
        });
        recorded.collect()
    });
    let page = page(&telemetry);
    for (name, kept, beyond) in expected {
        let found: Vec<_> =
            page.exemplars(name).map(|(_, found)| (&*found.trace_id, &*found.span_id)).collect();
        let kept: Vec<_> =
            kept.iter().chain([&beyond]).map(|(trace, span)| (trace.as_str(), span.as_str())).collect();
        assert_eq!(found, kept, "{name}");
    }
}

#[test]
fn what_is_not_sampled_or_in_no_span_is_counted_without_an_exemplar() {
    let name = names::HTTP_REQUEST_DURATION;
    for (sampler, in_span) in [("always_off", true), ("parentbased_always_off", true), ("always_on", false)] {
        let (telemetry, _) = start(&[("OTEL_TRACES_SAMPLER", sampler)]);
        telemetry.run(|| match in_span {
            true => drop(record_in_span(name, "/a", 0.2)),
            false => histogram!(name, names::LABEL_ROUTE => "/a").record(0.2),
        });
        let page = page(&telemetry);
        assert_eq!(page.exemplars(name).count(), 0, "{sampler}");
        assert_eq!(page.value(&format!("{name}_count{{route=\"/a\"}}")), Some(1.0));
    }
}

#[test]
fn a_trace_that_is_not_sampled_takes_no_ones_place() {
    let name = names::HTTP_REQUEST_DURATION;
    let (telemetry, _) = start(&[]);
    let sampled = telemetry.run(|| {
        let sampled = record_in_span(name, "/a", 0.2);
        let span = info_span!(target: TARGET, "a request");
        let parent = TraceContext::new_root().to_string().replace("-01", "-00");
        span.continue_from(TraceContext::parse(&parent).unwrap());
        span.in_scope(|| histogram!(name, names::LABEL_ROUTE => "/a").record(0.2));
        sampled
    });
    let page = page(&telemetry);
    let found: Vec<_> = page.exemplars(name).map(|(_, found)| found.trace_id.clone()).collect();
    assert_eq!(found, [sampled.0]);
    assert_eq!(page.value(&format!("{name}_count{{route=\"/a\"}}")), Some(2.0));
}

/// Threads that write the same bucket neither wait for one another nor mix their ids.
#[test]
fn ids_stay_together_under_contention() {
    let (telemetry, _) = start(&[]);
    let name = names::HTTP_REQUEST_DURATION;
    let (handle, contexts) = telemetry.run(|| {
        let spans: Vec<_> = (0..4).map(|_| info_span!(target: TARGET, "a request")).collect();
        let contexts: Vec<_> = spans.iter().map(|span| span.trace_context().unwrap()).collect();
        let handle = histogram!(name, names::LABEL_ROUTE => "/a");
        std::thread::scope(|scope| {
            for span in &spans {
                let (handle, dispatch) = (handle.clone(), &telemetry.dispatch);
                scope.spawn(move || {
                    tracing::dispatcher::with_default(dispatch, || {
                        span.in_scope(|| (0..5_000).for_each(|_| handle.record(0.2)));
                    });
                });
            }
        });
        (handle, contexts)
    });
    drop(handle);
    let page = page(&telemetry);
    let (_, found) = page.exemplars(name).next().unwrap();
    let ids = |context: &TraceContext| (context.trace_id(), context.span_id());
    assert!(contexts.iter().map(ids).any(|ids| ids == (found.trace_id.clone(), found.span_id.clone())));
    assert_eq!(page.value(&format!("{name}_count{{route=\"/a\"}}")), Some(20_000.0));
}
