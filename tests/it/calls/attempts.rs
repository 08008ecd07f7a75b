//! What an attempt carries, and what is told of it.

use super::{DEADLINE, client, text, told_of};
use crate::support::scripted::{Act, READ, Scripted, WRITE, ask};
use epro_notify::platform::grpc::client::CallError;
use std::time::{Duration, Instant};
use tonic::Code;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn an_attempt_carries_who_asks_how_long_and_its_place_in_the_trace() {
    let (mut came, mut port) = (Vec::new(), 0);
    let told = told_of(async || {
        let other = Scripted::start().await;
        ask(&client(&[other.address]), READ, None).await.unwrap();
        (came, port) = (other.attempts(), other.address.port());
    });
    let ([came], [span]) = (&*came, &*told.attempts()) else { panic!("{came:?}") };
    assert_eq!(came.value("authorization"), Some("Bearer a-secret"));
    assert!(came.timeout() <= DEADLINE && came.timeout() > DEADLINE / 2);
    assert_eq!(came.sender(), (&*hex(&span.trace_id), &*hex(&span.span_id)));
    assert_eq!((&span.trace_id, &span.parent_span_id), (&told.caller().trace_id, &told.caller().span_id));
    // CLIENT.
    assert_eq!((span.kind, &*span.name), (3, "test.v1.Scripted/Read"));
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
    let labels = [("grpc_method", "Read"), ("grpc_service", READ.service), ("side", "client")];
    assert_eq!(told.count("grpc_request_duration_seconds_count", &labels), 1);
}

#[test]
fn every_decision_has_a_series_before_it_is_made() {
    let told = told_of(async || {
        let other = Scripted::start().await;
        let _client = client(&[other.address]);
    });
    for (metric, series) in [
        ("circuit_breaker_state{", 1),
        ("circuit_breaker_transitions_total{", 3),
        ("rpc_client_throttled_total{", 2),
        ("rpc_client_retries_total{", 2 * 2),
        ("rpc_client_retries_withheld_total{", 2 * 4),
        ("rpc_client_refused_total{", 2 * 2),
    ] {
        let found = told.metrics.0.lines().filter(|line| line.starts_with(metric)).count();
        assert_eq!(found, series, "{metric}");
    }
}

#[test]
fn an_error_is_told_by_its_code_and_reaches_the_caller() {
    let told = told_of(async || {
        let other = Scripted::start().await;
        other.always(Act::Fail(Code::NotFound));
        let error = ask(&client(&[other.address]), READ, None).await.unwrap_err();
        assert!(matches!(error, CallError::Failed(status) if status.code() == Code::NotFound));
    });
    let [span] = &*told.attempts() else { panic!() };
    assert_eq!(text(&span.attributes, "rpc.response.status_code"), "NOT_FOUND");
    assert_eq!(text(&span.attributes, "error.type"), "NOT_FOUND");
    // ERROR.
    assert_eq!(span.status.as_ref().unwrap().code, 2);
    assert_eq!(told.count("grpc_request_duration_seconds_count", &[("grpc_code", "NOT_FOUND")]), 1);
}

#[test]
fn a_call_without_time_is_not_made() {
    let mut attempts = 0;
    let told = told_of(async || {
        let other = Scripted::start().await;
        let client = client(&[other.address]);
        let error = ask(&client, READ, Some(Duration::ZERO)).await.unwrap_err();
        assert!(matches!(error, CallError::Deadline));
        attempts = other.attempts().len();
    });
    assert_eq!(attempts, 0);
    assert_eq!(told.count("rpc_client_refused_total", &[("grpc_method", "Read"), ("reason", "deadline")]), 1);
    assert_eq!(told.events("call refused"), ["deadline"]);
}

#[test]
fn the_shorter_of_both_deadlines_ends_a_call() {
    let mut came = Vec::new();
    let told = told_of(async || {
        let other = Scripted::start().await;
        other.always(Act::Hang);
        let client = client(&[other.address]);
        let begun = Instant::now();
        let error = ask(&client, WRITE, Some(Duration::from_millis(50))).await.unwrap_err();
        assert!(matches!(error, CallError::Deadline));
        assert!(begun.elapsed() < DEADLINE);
        came = other.attempts();
    });
    assert!(came[0].timeout() <= Duration::from_millis(50));
    let [span] = &*told.attempts() else { panic!() };
    assert_eq!(text(&span.attributes, "rpc.response.status_code"), "DEADLINE_EXCEEDED");
}

#[test]
fn a_caller_that_leaves_is_told_as_cancelled() {
    let told = told_of(async || {
        let other = Scripted::start().await;
        other.always(Act::Hang);
        let client = client(&[other.address]);
        let call = ask(&client, READ, None);
        tokio::pin!(call);
        while other.attempts().is_empty() {
            let left = tokio::time::timeout(Duration::from_millis(5), &mut call);
            assert!(left.await.is_err());
        }
    });
    let [span] = &*told.attempts() else { panic!() };
    assert_eq!(text(&span.attributes, "rpc.response.status_code"), "CANCELLED");
}
