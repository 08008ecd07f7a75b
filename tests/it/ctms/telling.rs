//! What both services tell of a call: one trace, and nothing of a patient.

use crate::support::{
    fleet::{Fleet, path},
    prelude::*,
};
use chassis_test::spans::{Span, SpanKind, hex, named};

const CANARY: &str = "/api/v1/patients/canary-patient/latest-report";

/// The one span of this name and kind.
fn one(spans: &[Span], name: &str, kind: SpanKind) -> Option<Span> {
    let found: [Span; 1] = named(spans, name, kind).try_into().ok()?;
    let [span] = found;
    Some(span)
}

#[test]
fn one_trace_leads_from_the_caller_through_both_services_to_the_store() {
    let collector = Collector::start(Behaviour::Accept);
    let endpoint = collector.endpoint();
    let exporting = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "20")];
    let fleet = Fleet::with(&exporting);
    let context = TraceParent::new();
    let header = [("traceparent", &*context.to_string())];
    let answer = fleet.ctms.ask_with("GET", &path(0), &header, "");
    assert_eq!((answer.status, answer.trace_id()), (200, context.trace_id.clone()), "{answer:?}");
    let of_it = || {
        let spans = collector.spans();
        spans.into_iter().filter(|span| hex(&span.trace_id) == context.trace_id).collect::<Vec<Span>>()
    };
    until_so("four spans of the trace", || of_it().len() >= 4);
    let chain = until(&format!("the whole trace: {:#?}", of_it()), || {
        let spans = of_it();
        let call = "epro.v1.EproService/GetLatestReport";
        Some([
            one(&spans, "GET /api/v1/patients/{patientId}/latest-report", SpanKind::Server)?,
            one(&spans, call, SpanKind::Client)?,
            one(&spans, call, SpanKind::Server)?,
            one(&spans, "find latest report", SpanKind::Client)?,
        ])
    });
    assert_eq!(hex(&chain[0].parent_span_id), context.span_id);
    for pair in chain.windows(2) {
        assert_eq!(pair[1].parent_span_id, pair[0].span_id, "{pair:#?}");
    }
}

fn answers(ctms: &Service, path: &str, status: u16) {
    let answer = ctms.ask("GET", path, "");
    assert_eq!(answer.status, status, "{answer:?}");
}

#[test]
fn nothing_of_a_patient_is_told_by_lines_spans_metrics_or_problems() {
    let collector = Collector::start(Behaviour::Accept);
    let instance = Site::new().start();
    let report = r#"{"patientId":"canary-patient","content":"a canary report"}"#;
    assert_eq!(instance.ask("POST", REPORTS, report).status, 201);
    let site = Site::ctms(&format!("static://{}", instance.grpc))
        .exporting_to(&collector.endpoint())
        .with("RUST_LOG", "trace");
    let ctms = site.start();
    until_so("a live answer", || ctms.ask("GET", CANARY, "").status == 200);
    answers(&ctms, "/api/v1/patients/canary-other/latest-report", 404);
    answers(&ctms, "/api/v1/patients/canary%20none/latest-report", 422);
    instance.kill();
    answers(&ctms, CANARY, 200);
    let unknown = ctms.ask("GET", "/api/v1/patients/canary-third/latest-report", "");
    assert!(unknown.status == 503 && !unknown.body.contains("canary"), "{unknown:?}");
    let (metrics, readiness) = (ctms.metrics().text, ctms.readiness().1);
    until_so("spans are exported", || collector.spans().len() >= 5);
    let spans = format!("{:?}", collector.received());
    ctms.signal(Signal::TERM);
    let (code, lines) = ctms.ended();
    assert_eq!(code, 0);
    for (place, text) in [("lines", lines), ("metrics", metrics), ("readiness", readiness), ("spans", spans)]
    {
        let at = text
            .find("canary")
            .map(|at| text.chars().skip(at.saturating_sub(200)).take(400).collect::<String>());
        assert_eq!(at, None, "{place}");
    }
}
