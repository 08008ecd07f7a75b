//! Spans on their way to a collector over HTTP.

use crate::support::telemetry::{Account, start};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use parking_lot::Mutex;
use prost::Message;
use std::{sync::Arc, time::Duration};
use tracing::info_span;

const LONG: Duration = Duration::from_secs(30);

/// A call as it came: path, headers, spans.
type Call = (String, HeaderMap, usize);

type Answer = (StatusCode, Vec<u8>);

/// Answers each call with the next of `answers`, then with 200.
#[derive(Clone)]
struct Server {
    answers: Arc<Mutex<Vec<Answer>>>,
    calls: Arc<Mutex<Vec<Call>>>,
}

async fn export(State(server): State<Server>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let spans = request
        .resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans)
        .map(|scope| scope.spans.len())
        .sum();
    server.calls.lock().push((uri.path().to_owned(), headers, spans));
    let (status, body) = server.answers.lock().pop().unwrap_or((StatusCode::OK, Vec::new()));
    (status, [(header::RETRY_AFTER, "0")], body).into_response()
}

/// Sends ten spans to a collector that answers so (the last first); gives the account and the calls.
fn exported(answers: Vec<Answer>) -> (Account, Vec<Call>) {
    let server = Server { answers: Arc::new(Mutex::new(answers)), calls: Arc::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let endpoint = format!("http://{}/base/", listener.local_addr().unwrap());
    let router = Router::new().fallback(export).with_state(server.clone());
    let serving = runtime.handle().spawn(async { axum::serve(listener, router).await });
    let (telemetry, _) = start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a"),
    ]);
    telemetry.run(|| (0..10).for_each(|_| drop(info_span!(target: "epro_notify::test", "work"))));
    assert!(telemetry.telemetry.flusher().flush(LONG));
    let account = Account::of(&telemetry.telemetry.metrics.render());
    assert!(account.is_exact() && account.ended == 10, "{account:?}");
    serving.abort();
    (account, server.calls.lock().clone())
}

#[test]
fn spans_arrive_at_the_path_of_traces_with_the_headers() {
    let (account, calls) = exported(Vec::new());
    assert_eq!(account.exported, 10);
    let (path, headers, _) = &calls[0];
    assert_eq!(path, "/base/v1/traces");
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert_eq!(headers["x-tenant"], "a");
    assert_eq!(calls.iter().map(|(.., spans)| spans).sum::<usize>(), 10);
}

#[test]
fn what_may_be_retried_is_and_counted_once() {
    let (account, calls) = exported(vec![
        (StatusCode::SERVICE_UNAVAILABLE, Vec::new()),
        (StatusCode::TOO_MANY_REQUESTS, Vec::new()),
    ]);
    assert_eq!((account.exported, account.failed), (10, 0));
    assert!(calls.len() >= 3);
}

#[test]
fn what_may_not_be_retried_has_failed() {
    let (account, calls) = exported(vec![(StatusCode::BAD_REQUEST, Vec::new()); 10]);
    assert_eq!((account.exported, account.failed), (0, 10));
    assert_eq!(calls.iter().map(|(.., spans)| spans).sum::<usize>(), 10);
}

#[test]
fn rejected_spans_have_failed() {
    let partial = ExportTracePartialSuccess { rejected_spans: 100, error_message: String::new() };
    let answer = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let (account, _) = exported(vec![(StatusCode::OK, answer); 10]);
    assert_eq!((account.exported, account.failed), (0, 10));
}
