//! Reports through the real program: over HTTP and gRPC, across restarts and kills, with and without receipts.

mod durable;
mod grpc;
mod http;
mod preview;
mod receipts;
mod trouble;

use crate::support::prelude::*;
use chassis_test::client::ask_with;
use std::net::SocketAddr;

/// A body to submit.
fn report(patient: &str, content: &str) -> String {
    json!({ "patientId": patient, "content": content }).to_string()
}

/// Submits over HTTP, with a key if there is one.
fn submit(http: SocketAddr, key: Option<&str>, body: &str) -> Answer {
    let headers: Vec<_> = key.map(|key| ("idempotency-key", key)).into_iter().collect();
    ask_with(http, "POST", REPORTS, &headers, body)
}

/// The id of a report that was submitted.
fn kept(service: &Service, patient: &str, content: &str) -> String {
    let answer = submit(service.http, None, &report(patient, content));
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.text("reportId")
}

fn latest(service: &Service, patient: &str) -> Answer {
    service.ask("GET", &format!("/api/v1/patients/{patient}/reports/latest"), "")
}

/// How many submissions were counted.
fn counted(service: &Service, outcome: &str, source: &str) -> u64 {
    let labels = [("outcome", outcome), ("source", source)];
    service.metrics().sum("epro_report_submission_total", &labels)
}

/// How many receipts were counted.
fn receipts(service: &Service, outcome: &str) -> u64 {
    service.metrics().sum("epro_report_receipts_total", &[("outcome", outcome)])
}
