//! Spans of this process and of libraries, on one thread with telemetry of its own.

use std::collections::HashMap;

use crate::support::{Kept, LONG, Lines, scoped};
use chassis_telemetry::{Exposition, Scoped, Service, Setup, SpanExt, TraceContext, propagation};
use chassis_test::lines::KEYS;
use http::HeaderMap;
use opentelemetry::{
    KeyValue, SpanId,
    baggage::BaggageExt as _,
    trace::{SpanKind, Status, TraceContextExt as _},
};
use opentelemetry_sdk::trace::SpanData;
use tracing::{debug_span, error, info, info_span, trace_span, warn};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const EXPORT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://unused");

fn setup() -> Setup {
    Setup {
        line_targets: &["it"],
        safe_attributes: &["order.kind"],
        log: chassis_telemetry::LogConfig { format: chassis_telemetry::LogFormat::Json },
        ..Setup::new(Service::new("a-service", "1.2.3"))
    }
}

fn start(environment: &[(&str, &str)]) -> (Scoped, Lines, Kept) {
    let (lines, kept) = (Lines::default(), Kept::default());
    let scoped = scoped(&setup(), environment, &lines, &kept);
    (scoped, lines, kept)
}

fn attributes(span: &SpanData) -> HashMap<&str, String> {
    span.attributes.iter().map(|attribute| (attribute.key.as_str(), attribute.value.to_string())).collect()
}

#[test]
fn a_span_of_any_library_is_exported_below_its_parent_and_transport_noise_is_not() {
    let (scoped, _, kept) = start(&[EXPORT, ("RUST_LOG", "off")]);
    let parent = TraceContext::new_root();
    {
        let _entered = scoped.enter();
        let outer = info_span!("outer");
        outer.continue_from(parent);
        outer.in_scope(|| {
            info_span!(target: "h2::proto", "noise").in_scope(|| {
                info_span!(target: "hyper_util::client", "more noise").in_scope(|| {
                    debug_span!(target: "some_library::query", "query", otel.kind = "client", db.system.name = "x")
                        .in_scope(|| trace_span!(target: "some_library", "too fine"));
                });
            });
        });
    }
    assert!(scoped.telemetry.shutdown(LONG));
    let (outer, query) = (kept.named("outer"), kept.named("query"));
    assert_eq!(outer.span_context.trace_id().to_string(), parent.trace_id());
    assert_eq!(outer.parent_span_id.to_string(), parent.span_id());
    assert!(outer.parent_span_is_remote);
    assert_eq!(query.parent_span_id, outer.span_context.span_id());
    assert_eq!(query.span_context.trace_id(), outer.span_context.trace_id());
    assert_eq!(query.span_kind, SpanKind::Client);
    let names: Vec<_> = kept.0.lock().iter().map(|span| span.name.to_string()).collect();
    assert_eq!(names, ["start", "query", "outer"]);
}

#[test]
fn what_is_not_on_the_list_stays_here_whoever_said_it() {
    let (scoped, _, kept) = start(&[EXPORT]);
    {
        let _entered = scoped.enter();
        let span = info_span!(
            target: "some_library",
            "op",
            db.statement = "canary",
            peer.name = "canary",
            http.route = "/a/{id}",
            order.kind = "large",
            otel.name = "GET /a/canary",
            otel.status_description = "canary",
        );
        SpanExt::add_event(&span, "retried", &[("attempt", "2".into()), ("why", "canary".into())]);
        span.add_link_with_attributes(
            opentelemetry::trace::SpanContext::new(
                1u128.into(),
                2u64.into(),
                Default::default(),
                true,
                "vendor=canary".parse().unwrap(),
            ),
            vec![KeyValue::new("note", "canary")],
        );
        span.in_scope(|| warn!(canary = "canary", "canary"));
        info_span!(
            "named",
            otel.name = "send orders",
            messaging.operation.name = "send",
            messaging.destination.name = "orders"
        );
    }
    assert!(scoped.telemetry.shutdown(LONG));
    assert!(!format!("{:?}", kept.0.lock()).contains("canary"));
    let span = kept.named("GET _");
    assert_eq!(
        attributes(&span),
        HashMap::from([("http.route", "/a/{id}".into()), ("order.kind", "large".into())])
    );
    assert_eq!(span.events.events.len(), 1, "a line is no event");
    assert_eq!(span.events.events[0].attributes, [KeyValue::new("attempt", "2")]);
    assert_eq!(span.links.links.len(), 1);
    assert_eq!(span.status, Status::error(""));
    kept.named("send orders");
}

#[test]
fn the_ecosystems_span_extension_works_with_parent_baggage_and_attributes() {
    let setup = Setup { baggage: &["tenant"], ..setup() };
    let (lines, kept) = (Lines::default(), Kept::default());
    let scoped = scoped(&setup, &[EXPORT], &lines, &kept);
    let parent = TraceContext::new_root();
    {
        let _entered = scoped.enter();
        let span = info_span!("op");
        let mut headers = HeaderMap::new();
        parent.inject(&mut headers);
        let context = propagation::extract(&headers).with_baggage([KeyValue::new("tenant", "x")]);
        span.set_parent(context).unwrap();
        span.set_attribute("order.kind", "small");
        assert_eq!(span.context().span().span_context().trace_id().to_string(), parent.trace_id());
        assert_eq!(span.trace_context(), TraceContext::from_bytes(&span.trace_context().unwrap().to_bytes()));
        let inner = span.in_scope(|| info_span!("inner"));
        assert_eq!(
            inner.context().baggage().get("tenant").map(|value| value.as_str().to_owned()),
            Some("x".into())
        );
        let mut outgoing = HeaderMap::new();
        inner.in_scope(|| propagation::inject(&mut outgoing));
        assert_eq!(TraceContext::from_headers(&outgoing), inner.trace_context());
        // Too late: counted, and the trace stays what it was.
        inner.continue_from(TraceContext::new_root());
        assert!(
            scoped.telemetry.metrics().render(Exposition::Text).contains("telemetry_late_parents_total 1")
        );
    }
    assert!(scoped.telemetry.shutdown(LONG));
    assert_eq!(attributes(&kept.named("op"))["order.kind"], "small");
}

#[test]
fn every_line_has_the_ids_of_its_span_whatever_filter_sampler_and_export() {
    for filter in ["error", "info", "trace,h2=off", "error,it=warn", "error,it=trace"] {
        for sampler in
            ["always_on", "ALWAYS_OFF", "traceidratio", "parentbased_always_on", "parentbased_always_off"]
        {
            for export in [vec![], vec![EXPORT], vec![EXPORT, ("OTEL_SDK_DISABLED", "True")]] {
                let sampling = [
                    ("RUST_LOG", filter),
                    ("OTEL_TRACES_SAMPLER", sampler),
                    ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
                ];
                let settings = [sampling.as_slice(), &export].concat();
                let (scoped, lines, _) = start(&settings);
                let parent = TraceContext::new_root();
                let (outer, inner) = {
                    let _entered = scoped.enter();
                    let outer = info_span!("outer");
                    outer.continue_from(parent);
                    let inner = outer.in_scope(|| debug_span!("inner"));
                    inner.in_scope(|| error!("inside"));
                    outer.in_scope(|| error!(target: "some_library", "library"));
                    error!(parent: &inner, "of a parent");
                    (outer.trace_context().unwrap(), inner.trace_context().unwrap())
                };
                assert!(scoped.telemetry.shutdown(LONG));
                for (message, context) in [("inside", inner), ("library", outer), ("of a parent", inner)] {
                    let line = &lines.named(message)[0];
                    assert_eq!(line["trace_id"], parent.trace_id(), "{settings:?}");
                    assert_eq!(line["span_id"], context.span_id(), "{settings:?}");
                    assert_eq!(line["trace_flags"] == "01", context.sampled(), "{settings:?}");
                }
            }
        }
    }
}

#[test]
fn a_line_outside_any_span_has_the_process_trace_which_is_exported() {
    let (scoped, lines, kept) = start(&[EXPORT]);
    {
        let _entered = scoped.enter();
        info!("started");
        info_span!("other").in_scope(|| info!(parent: None, "of no span"));
    }
    let process = scoped.telemetry.process();
    assert!(scoped.telemetry.shutdown(LONG));
    for line in [lines.named("started"), lines.named("of no span")].concat() {
        assert_eq!(
            (line["trace_id"].as_str(), line["span_id"].as_str()),
            (Some(&*process.trace_id()), Some(&*process.span_id()))
        );
    }
    assert_eq!(kept.named("start").span_context.trace_id().to_string(), process.trace_id());
    assert_eq!(kept.named("start").parent_span_id, SpanId::INVALID);
}

#[test]
fn a_line_has_exactly_its_keys_and_nothing_from_outside_forges_one() {
    let (scoped, lines, _) = start(&[]);
    {
        let _entered = scoped.enter();
        let forged = "x\",\"trace_id\":\"y\"}\n{\"message\":\"forged";
        info!(trace_id = forged, nan = f64::NAN, big = u64::MAX, on = true, text = ?"say \"x\"", none = None::<&str>, "{forged}");
    }
    assert!(scoped.telemetry.shutdown(LONG));
    let all = lines.all();
    assert_eq!(all.len(), 1, "{all:?}");
    let line = &all[0];
    let keys: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, KEYS);
    let timestamp = line["timestamp"].as_str().unwrap();
    assert_eq!(timestamp.len(), "2026-11-23T06:11:21.123456Z".len(), "{timestamp}");
    assert_eq!(
        (&line["service"], &line["version"], &line["level"]),
        (&"a-service".into(), &"1.2.3".into(), &"INFO".into())
    );
    assert!(line["message"].as_str().unwrap().ends_with("{\"message\":\"forged"));
    let fields = &line["fields"];
    assert_eq!(fields["text"], "\"say \\\"x\\\"\"");
    assert_eq!(
        (&fields["nan"], &fields["big"], &fields["on"]),
        (&serde_json::Value::Null, &u64::MAX.into(), &true.into())
    );
    assert!(fields.get("none").is_none());
}
