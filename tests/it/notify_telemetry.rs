//! What telemetry shows of the domain, and what it must never show.

use crate::support::{
    collector::{Behaviour, Collector},
    gateway::{Act, Gateway, Received},
    notify::Domain,
    seen::Seen,
    telemetry,
};
use axum::http::Method;
use epro_notify::notify::config::ProviderConfig;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use std::{future::Future, time::Duration};

/// Runs `scenario` with every span exported and every line written, and gives what was told: the
/// spans, and all of it as text.
fn told<F: Future>(scenario: impl FnOnce() -> F) -> (F::Output, Vec<Span>, String) {
    let collector = Collector::start(Behaviour::Accept);
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.endpoint()), ("RUST_LOG", "trace")];
    let (telemetry, lines) = telemetry::start(&settings);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let output = telemetry.run(|| {
        let output = runtime.block_on(scenario());
        // Spans end with the tasks that hold them.
        drop(runtime);
        output
    });
    let metrics = telemetry.telemetry.metrics.render();
    assert!(telemetry.telemetry.shutdown(Duration::from_secs(10)));
    let text = format!("{metrics}\n{}\n{:?}", lines.text(), collector.received());
    (output, collector.spans(), text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn one_trace_leads_from_the_caller_to_the_gateway() {
    let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let ((received, trace), spans, _) = told(async || {
        let (gateway, http) = Gateway::start().await;
        let domain = Domain::started(http, ProviderConfig::Console).await;
        domain.put("/patients/p", &json!({ "phone": "+4930901820" })).await;
        let body = json!({ "patientId": "p", "message": "x" }).to_string();
        let post =
            domain.call(Method::POST, "/notifications/sms/async", &[("traceparent", caller)], &body).await;
        let shown = domain.until(&post.id(), "delivered").await;
        let [received]: [Received; 1] = gateway.received().try_into().unwrap();
        (received, shown["traceId"].as_str().unwrap().to_owned())
    });
    assert_eq!(trace, "0af7651916cd43dd8448eb211c80319c");
    // From the gateway's parent up to the caller; kinds are OpenTelemetry's numbers.
    let traceparent = received.traceparent.unwrap();
    let mut parent = traceparent.split('-').nth(2).unwrap().to_owned();
    for (name, kind) in [
        ("POST", 3),
        ("process notifications", 5),
        ("send notifications", 4),
        ("POST /api/v1/notifications/sms/async", 2),
    ] {
        let span =
            spans.iter().find(|span| hex(&span.span_id) == parent).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!((&*span.name, span.kind, hex(&span.trace_id)), (name, kind, trace.clone()));
        parent = hex(&span.parent_span_id);
    }
    assert_eq!(parent, "b7ad6b7169203331");
    let producer = spans.iter().find(|span| span.name == "send notifications").unwrap();
    let has = |key: &str| producer.attributes.iter().any(|attribute| attribute.key == key);
    assert!(has("waited_ms") && has("committed_ms") && has("messaging.message.id"), "{producer:?}");
}

/// Every way through the domain that can go wrong or right, each with values that must not be told.
async fn with_canaries() -> usize {
    let (gateway, http) = Gateway::start().await;
    let domain = Domain::started(http.clone(), http).await;
    let tokens = json!([{ "platform": "fcm", "token": "canary-token" }]);
    let contact = json!({ "phone": "+4930901820", "pushTokens": tokens, "locale": "de-canary" });
    domain.put("/patients/canary-patient", &contact).await;
    domain.get("/patients/canary-patient?canary=canary").await;
    let sms = json!({ "patientId": "canary-patient", "message": "canary message" });
    let push = json!({ "patientId": "canary-patient", "title": "canary title", "message": "canary message" });
    gateway.will(&[Act::Answer(500)]);
    let id = domain.keyed("canary-key", "/notifications/sms/async", &sms).await.id();
    domain.until(&id, "delivered").await;
    gateway.will(&[Act::Answer(404), Act::Silence]);
    domain.keyed("canary-key", "/notifications/push", &push).await;
    domain.post("/notifications/sms", &sms).await;
    domain.post("/notifications/sms", &json!({ "patientId": "canary", "message": "canary" })).await;
    domain.post("/notifications/sms", &json!({ "canary": "canary" })).await;
    domain.get("/canary?canary").await;
    domain.get("/dead-letters?status=canary").await;
    domain.delete("/patients/canary-patient").await;
    gateway.received().len()
}

#[test]
fn no_canary_is_told_by_lines_spans_or_metrics_at_any_level() {
    let (received, spans, text) = told(with_canaries);
    assert!(received >= 4 && spans.len() > 20, "the scenario did not run");
    for canary in ["canary", "30901820"] {
        let place = text.lines().find(|line| line.contains(canary));
        assert_eq!(place, None);
    }
}

#[tokio::test]
async fn every_outcome_is_counted_and_there_from_the_start() {
    let seen = Seen::begin();
    let (gateway, http) = Gateway::start().await;
    let domain = Domain::started(http, ProviderConfig::Console).await;
    for outcome in ["delivered", "retry", "parked", "dead", "unknown"] {
        let series = format!(
            "notification_attempts_total{{channel=\"sms\",provider=\"http\",outcome=\"{outcome}\"}} 0"
        );
        assert!(seen.page().contains(&series), "{series}");
    }
    for reason in ["invalid", "no_contact", "backlog_full", "store_unavailable", "shed"] {
        assert!(
            seen.page().contains(&format!("notification_refused_total{{reason=\"{reason}\"}} 0")),
            "{reason}"
        );
    }
    let sms = json!({ "patientId": "p", "message": "x" });
    domain.post("/notifications/sms/async", &json!({})).await.is_problem(422, "invalid");
    domain.post("/notifications/sms/async", &sms).await.is_problem(422, "no-contact");
    domain.put("/patients/p", &json!({ "phone": "+4930901820" })).await;
    gateway.will(&[Act::Answer(500)]);
    let id = domain.post("/notifications/sms/async", &sms).await.id();
    domain.until(&id, "delivered").await;
    // What is committed is counted a moment later.
    domain.queue.stop().await;
    let refused = |reason: &str| seen.metric("notification_refused_total", &[reason]);
    assert_eq!((refused("reason=\"invalid\""), refused("reason=\"no_contact\"")), (1.0, 1.0));
    let sms = ["channel=\"sms\"", "priority=\"normal\""];
    let delivered = "outcome=\"delivered\"";
    assert_eq!(seen.metric("notification_accepted_total", &sms), 1.0);
    assert_eq!(seen.metric("notification_finished_total", &[sms[0], sms[1], delivered]), 1.0);
    assert_eq!(seen.metric("notification_attempts_total", &[sms[0], "outcome=\"retry\""]), 1.0);
    assert_eq!(seen.metric("notification_end_to_end_duration_seconds_count", &sms), 1.0);
    assert_eq!(
        seen.metric("notification_attempt_duration_seconds_count", &[sms[0], "provider=\"http\""]),
        2.0
    );
}

#[tokio::test]
async fn the_access_line_names_the_notification() {
    let seen = Seen::begin();
    let domain = Domain::console().await;
    let id = domain.post("/notifications/sms/async", &json!({ "patientId": "p", "message": "x" })).await.id();
    let line = seen.lines().pop().unwrap();
    assert_eq!((line.get("id"), &*line["route"]), (Some(&id), "/api/v1/notifications/sms/async"));
}
