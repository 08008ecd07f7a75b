//! Everything that comes over gRPC, with a canary in it: calls that go well and wrong, their metadata.

use crate::{
    grpc::{Client, call, of},
    support::prelude::*,
};
use epro_notify::proto::epro::SubmitReportRequest;
use tonic::{Code, Request, Status, transport::Channel};

/// Makes every call, and returns what the refused ones were told.
pub fn play(service: &Service) -> Vec<Status> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let address = format!("http://{}", service.grpc);
        let channel = Channel::from_shared(address).unwrap().user_agent("canary/1").unwrap();
        let channel = channel.connect().await.unwrap();
        let mut client = Client::new(channel.clone());
        let kept = client.submit_report(sent(report("canary-patient"), "Bearer canary-key")).await;
        kept.unwrap();
        let read = client.get_latest_report(sent(of("canary-patient"), "Bearer canary-key")).await;
        assert!(read.unwrap().into_inner().report.unwrap().content.contains("canary"));
        let mut told = Vec::new();
        for (patient, key, expected) in [
            ("canary-none", "Bearer canary-key", Code::NotFound),
            ("canary patient", "Bearer canary-key", Code::InvalidArgument),
            ("canary-patient", "Bearer canary-unknown", Code::Unauthenticated),
            ("canary-patient", "canary-key", Code::Unauthenticated),
        ] {
            let refused = client.get_latest_report(sent(of(patient), key)).await.unwrap_err();
            assert_eq!(refused.code(), expected);
            told.push(refused);
        }
        told.push(
            client.submit_report(sent(report("canary patient"), "Bearer canary-key")).await.unwrap_err(),
        );
        told.push(repeated(&mut client).await);
        for path in ["/canary.Canary/Canary", "/canary?canary=canary", "/epro.v1.EproService/Canary"] {
            let request = sent(of("canary-patient"), "Bearer canary-key");
            told.push(call(channel.clone(), path, request).await.unwrap_err());
        }
        let mut late = sent(of("canary-patient"), "Bearer canary-key");
        late.metadata_mut().insert("grpc-timeout", "canary".parse().unwrap());
        told.push(client.get_latest_report(late).await.unwrap_err());
        told
    })
}

/// The same idempotency key with another message.
async fn repeated(client: &mut Client) -> Status {
    let mut again = sent(report("canary-patient"), "Bearer canary-key");
    again.get_mut().content.push_str(" canary");
    client.submit_report(again).await.unwrap_err()
}

fn report(patient: &str) -> SubmitReportRequest {
    SubmitReportRequest { patient_id: patient.to_owned(), content: "canary report".to_owned() }
}

/// A call with a canary in all metadata that anybody reads or might log.
fn sent<M>(message: M, key: &'static str) -> Request<M> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    for (name, value) in [
        ("authorization", key),
        ("baggage", "canary=canary"),
        ("idempotency-key", "canary-report"),
        ("traceparent", "00-canary-canary-01"),
        ("tracestate", "canary=canary"),
        ("x-canary", "canary"),
        ("x-forwarded-for", "canary-address, 127.0.0.1"),
    ] {
        metadata.insert(name, value.parse().unwrap());
    }
    metadata.insert_bin("x-canary-bin", tonic::metadata::BinaryMetadataValue::from_bytes(b"canary"));
    request
}
