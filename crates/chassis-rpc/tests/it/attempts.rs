//! What an attempt carries, and what is said about it.

use crate::server::{Act, Server};
use crate::support::{Client, DEADLINE, OTHER, READ, WRITE, observe, text};
use chassis_rpc::Refusal;
use opentelemetry::trace::{SpanKind, Status};
use std::fs;
use std::time::{Duration, Instant};
use tonic::Code;

fn key_file(folder: &tempfile::TempDir, key: &str) -> String {
    let path = folder.path().join("key");
    fs::write(&path, key).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn an_attempt_carries_key_deadline_and_trace_context() {
    let folder = tempfile::tempdir().unwrap();
    let (mut came, mut port) = (Vec::new(), 0);
    let observed = observe(async || {
        let server = Server::start();
        let key = key_file(&folder, "a-secret\n");
        let client = Client::with(&format!("static://{}", server.address), &[("API_KEY_FILE", &key)]);
        client.read().await.unwrap();
        (came, port) = (server.attempts(), server.address.port());
    });
    let ([came], [span]) = (&*came, &*observed.attempts()) else { panic!("{came:?}") };
    assert_eq!(came.value("authorization"), Some("Bearer a-secret"));
    assert!(came.timeout() <= DEADLINE && came.timeout() > DEADLINE / 2);
    let (context, caller) = (&span.span_context, &observed.caller().span_context);
    let traceparent = format!("00-{}-{}-01", context.trace_id(), context.span_id());
    assert_eq!(came.value("traceparent"), Some(&*traceparent));
    assert_eq!((context.trace_id(), span.parent_span_id), (caller.trace_id(), caller.span_id()));
    assert_eq!((&span.span_kind, &*span.name), (&SpanKind::Client, "test.v1.Scripted/Read"));
    for (name, value) in [
        ("rpc.system.name", "grpc"),
        ("rpc.method", "test.v1.Scripted/Read"),
        ("rpc.response.status_code", "OK"),
        ("server.address", "127.0.0.1"),
        ("server.port", &port.to_string()),
        ("attempt", "1"),
        ("error.type", ""),
    ] {
        assert_eq!(text(&span.attributes, name), value, "{name}");
    }
    let labels = [("grpc_method", READ), ("grpc_service", "test.v1.Scripted"), ("side", "client")];
    assert_eq!(observed.count("grpc_request_duration_seconds_count", &labels), 1);
}

#[test]
fn an_error_reaches_the_caller_and_is_on_the_span() {
    let observed = observe(async || {
        let server = Server::doing(Act::Fail(Code::NotFound));
        let status = Client::of(&[server]).read().await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::NotFound, "as told"));
    });
    let [span] = &*observed.attempts() else { panic!() };
    for name in ["rpc.response.status_code", "error.type"] {
        assert_eq!(text(&span.attributes, name), "NOT_FOUND");
    }
    assert!(matches!(span.status, Status::Error { .. }));
    assert_eq!(observed.count("grpc_request_duration_seconds_count", &[("grpc_code", "NOT_FOUND")]), 1);
}

#[test]
fn an_answer_without_a_status_is_a_failure() {
    let observed = observe(async || {
        let server = Server::doing(Act::NoStatus);
        assert_eq!(Client::to(&[server.address]).read().await.unwrap_err().code(), Code::Unknown);
    });
    assert_eq!(observed.count("grpc_request_duration_seconds_count", &[("grpc_code", "OK")]), 0);
    for span in observed.attempts() {
        assert_eq!(text(&span.attributes, "rpc.response.status_code"), "UNKNOWN");
    }
    assert!(observed.count("grpc_request_duration_seconds_count", &[("grpc_code", "UNKNOWN")]) >= 1);
}

#[test]
fn a_call_without_time_is_not_made() {
    let observed = observe(async || {
        let server = Server::start();
        let client = Client::to(&[server.address]);
        let status = client.call(READ, Some(Duration::ZERO)).await.unwrap_err();
        assert_eq!((status.code(), Refusal::of(&status)), (Code::DeadlineExceeded, Some(Refusal::Deadline)));
        assert_eq!(server.calls(), 0);
    });
    let refused = [("grpc_method", READ), ("reason", "deadline")];
    assert_eq!(observed.count("rpc_client_refused_total", &refused), 1);
    assert_eq!(observed.events("call refused"), ["deadline"]);
}

#[test]
fn the_shorter_of_both_deadlines_ends_a_call() {
    let limit = Duration::from_millis(50);
    let observed = observe(async || {
        let server = Server::doing(Act::Hang);
        let client = Client::to(&[server.address]);
        let began = Instant::now();
        let status = client.call(WRITE, Some(limit)).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(began.elapsed() < DEADLINE && server.attempts()[0].timeout() <= limit);
    });
    let [span] = &*observed.attempts() else { panic!() };
    assert_eq!(text(&span.attributes, "rpc.response.status_code"), "DEADLINE_EXCEEDED");
}

#[test]
fn a_caller_that_leaves_cancels_the_attempt() {
    let observed = observe(async || {
        let server = Server::doing(Act::Hang);
        let client = Client::to(&[server.address]);
        let call = client.read();
        tokio::pin!(call);
        while server.calls() == 0 {
            assert!(tokio::time::timeout(Duration::from_millis(5), &mut call).await.is_err());
        }
    });
    let [span] = &*observed.attempts() else { panic!() };
    assert_eq!(text(&span.attributes, "rpc.response.status_code"), "CANCELLED");
}

#[test]
fn a_method_that_is_not_listed_is_passed_to_an_endpoint_with_key_and_trace() {
    let folder = tempfile::tempdir().unwrap();
    let mut came = Vec::new();
    let observed = observe(async || {
        let server = Server::start();
        let key = key_file(&folder, "a-secret");
        let client = Client::with(&format!("static://{}", server.address), &[("API_KEY_FILE", &key)]);
        client.call(OTHER, None).await.unwrap();
        came = server.attempts();
    });
    assert_eq!(came[0].value("authorization"), Some("Bearer a-secret"));
    let trace_id = observed.caller().span_context.trace_id().to_string();
    assert!(came[0].value("traceparent").unwrap().contains(&trace_id));
    assert!(observed.attempts().is_empty());
}
