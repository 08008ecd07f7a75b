//! What telemetry tells of a batch: a trace a notification, linked to the batch's, and never who it is for.

use super::{SMS, enrol, finished, send};
use crate::support::prelude::*;
use chassis_test::spans::{Span, SpanKind, hex, integer, named, text};

#[test]
fn each_notification_begins_a_trace_that_is_linked_to_the_batchs() {
    let collector = Collector::start(Behaviour::Accept);
    let gateway = Gateway::start();
    let service =
        Site::sending_to(&gateway).exporting_to(&collector.endpoint()).with("RUST_LOG", "trace").start();
    for patient in ["canary-1", "canary-2", "canary-3"] {
        service.contact(patient, PATIENT);
        enrol(&service, patient);
    }
    let study = service.ask("PUT", "/api/v1/studies/canary-study/patients/canary-1", "");
    assert_eq!(study.status, 201);
    let body = SMS.replace("a reminder", "canary-text");
    let id = send(&service, &body, 3);
    let shown = finished(&service, &id);
    let spans: Vec<Span> = until("all spans", || {
        let spans = collector.spans();
        let of = |name: &str| spans.iter().filter(|span| span.name == name).count();
        (of("process notifications") == 3 && of("create notifications") == 3).then_some(spans)
    });
    let [batch]: [Span; 1] = named(&spans, "send notifications", SpanKind::Producer).try_into().unwrap();
    assert_eq!(
        (text(&batch, "messaging.message.id"), integer(&batch, "messaging.batch.message_count")),
        (&*id, 3)
    );
    assert_eq!(shown["traceId"], hex(&batch.trace_id));
    let created = named(&spans, "create notifications", SpanKind::Producer);
    assert_eq!(created.len(), 3);
    for span in &created {
        assert!(span.parent_span_id.is_empty() && span.trace_id != batch.trace_id, "{span:#?}");
        assert_eq!(span.links.len(), 1);
        assert_eq!((&span.links[0].trace_id, &span.links[0].span_id), (&batch.trace_id, &batch.span_id));
        assert_eq!(text(span, "messaging.operation.type"), "create");
        let attempts = named(&spans, "process notifications", SpanKind::Consumer);
        let attempt = attempts.iter().find(|attempt| attempt.parent_span_id == span.span_id).unwrap();
        assert_eq!(text(attempt, "messaging.message.id"), text(span, "messaging.message.id"));
        let one = service.notification(text(span, "messaging.message.id"));
        assert_eq!(one["traceId"], hex(&span.trace_id));
    }
    let metrics = service.metrics().text;
    let told = format!("{}{spans:?}{metrics}", service.stop_and_read());
    assert!(!told.contains("canary"), "telemetry names a patient, a study or a text");
}
