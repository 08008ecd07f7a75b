//! One trace id from the caller through the line to the answer, whatever is answered.

use crate::support::{
    grpc::{Setup, get},
    telemetry::start,
};
use epro_notify::proto::epro::GetLatestReportResponse;
use serde_json::{Map, Value};
use std::time::Duration;
use tonic::{Response, Status};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Makes a call with this `traceparent`, and returns the one of its answer and its line.
async fn ask(order: &str, parent: Option<&str>, trusted: bool) -> (String, Map<String, Value>) {
    let (telemetry, lines) = start(&[]);
    let guard = tracing::dispatcher::set_default(&telemetry.dispatch);
    let server = Setup { trusted, ..Setup::new() }.start().await;
    let mut client = server.client().await;
    let mut request = get(order);
    if let Some(parent) = parent {
        request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    }
    let outcome = client.get_latest_report(request).await;
    drop(client);
    server.stop().await;
    drop(guard);
    telemetry.telemetry.shutdown(Duration::from_secs(10));
    let mut told: Vec<_> = lines.objects().into_iter().filter(|line| line["message"] == "call").collect();
    assert_eq!(told.len(), 1, "{told:?}");
    (traceparent(outcome), told.remove(0))
}

fn traceparent(outcome: Result<Response<GetLatestReportResponse>, Status>) -> String {
    let metadata = match &outcome {
        Ok(answer) => answer.metadata(),
        Err(status) => status.metadata(),
    };
    metadata.get("traceparent").unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_callers_trace_is_on_every_answer_and_line() {
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    for order in ["report", "missing", "panic", "never"] {
        let (told, line) = ask(order, Some(&parent), true).await;
        assert!(told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-01"), "{order}: {told}");
        assert_eq!(line["trace_id"], TRACE, "{order}");
        assert_eq!(told.split('-').nth(2), line["span_id"].as_str(), "{order}");
    }
}

#[tokio::test]
async fn a_call_without_a_trace_begins_one() {
    for parent in [None, Some("none")] {
        let (told, line) = ask("report", parent, true).await;
        assert_eq!(told.split('-').nth(1), line["trace_id"].as_str());
        assert_ne!(line["trace_id"], TRACE);
    }
}

#[tokio::test]
async fn only_a_trusted_proxy_decides_what_is_sampled() {
    let unsampled = format!("00-{TRACE}-b7ad6b7169203331-00");
    for (trusted, flags) in [(true, "-00"), (false, "-01")] {
        let (told, line) = ask("report", Some(&unsampled), trusted).await;
        assert!(told.ends_with(flags), "{told}");
        assert_eq!(line["trace_id"], TRACE);
    }
}
