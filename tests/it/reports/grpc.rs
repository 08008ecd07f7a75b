//! Reports over gRPC, by a client that is generated from the same protocol.

use super::{counted, latest};
use crate::{
    grpc::{Client, client, of},
    support::prelude::*,
};
use epro_notify::proto::epro::{Report, SubmitReportRequest, SubmitReportResponse};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt;

/// Submits, with a key if there is one.
pub async fn submit(
    client: &mut Client,
    key: Option<&'static str>,
    (patient, content): (&str, &str),
) -> Result<Response<SubmitReportResponse>, Status> {
    let message = SubmitReportRequest { patient_id: patient.to_owned(), content: content.to_owned() };
    let mut request = Request::new(message);
    if let Some(key) = key {
        request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
    }
    client.submit_report(request).await
}

async fn get(client: &mut Client, patient: &str) -> Result<Report, Status> {
    client.get_latest_report(of(patient)).await.map(|answer| answer.into_inner().report.unwrap())
}

fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    violations.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test]
async fn a_report_is_kept_and_given_out_the_same_over_both_surfaces() {
    let service = Site::new().start();
    let mut client = client(&service).await;
    assert_eq!(get(&mut client, "p-1").await.unwrap_err().code(), Code::NotFound);
    let kept = submit(&mut client, None, ("p-1", "slept well 😀")).await.unwrap();
    assert!(kept.metadata().get("idempotency-replayed").is_none());
    let kept = kept.into_inner();
    let report = get(&mut client, "p-1").await.unwrap();
    assert_eq!((&report.report_id, &*report.content), (&kept.report_id, "slept well 😀"));
    assert_eq!(report.submitted_at, kept.submitted_at);
    let shown = latest(&service, "p-1");
    assert_eq!((shown.text("reportId"), shown.text("content")), (report.report_id, report.content));
    let at: jiff::Timestamp = shown.text("submittedAt").parse().unwrap();
    assert_eq!(at.as_second(), kept.submitted_at);
    assert_eq!((counted(&service, "success", "grpc"), counted(&service, "success", "http")), (1, 0));
}

#[tokio::test]
async fn each_invalid_field_is_named_and_counted_as_a_failure_of_grpc() {
    let service = Site::new().start();
    let mut client = client(&service).await;
    let wrong = submit(&mut client, None, ("a b", "")).await.unwrap_err();
    assert_eq!(fields(&wrong), ["patient_id", "content"]);
    let long = "a".repeat(32 * 1024 + 1);
    assert_eq!(fields(&submit(&mut client, None, ("p-1", &long)).await.unwrap_err()), ["content"]);
    let keyed = submit(&mut client, Some("two words"), ("p-1", "x")).await.unwrap_err();
    assert_eq!(fields(&keyed), ["idempotency-key"]);
    submit(&mut client, Some("once"), ("p-2", "x")).await.unwrap();
    let other = submit(&mut client, Some("once"), ("p-2", "y")).await.unwrap_err();
    assert_eq!(fields(&other), ["idempotency-key"]);
    assert_eq!(fields(&get(&mut client, "").await.unwrap_err()), ["patient_id"]);
    let all: Vec<_> = ["a".repeat(32 * 1024), "ä".repeat(16 * 1024)].into();
    for content in &all {
        submit(&mut client, None, ("p-1", content)).await.unwrap();
        assert_eq!(get(&mut client, "p-1").await.unwrap().content, *content);
    }
    assert_eq!((counted(&service, "failure", "grpc"), counted(&service, "success", "grpc")), (4, 3));
    assert_eq!(counted(&service, "failure", "http"), 0);
}
