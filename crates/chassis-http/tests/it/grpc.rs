//! gRPC on the same layers: what goes wrong is a status, and deadlines are kept.

use crate::support::{CHECK, LONG, config, grpc_router, serve};
use chassis_http::ServerConfig;
use std::net::SocketAddr;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// Asks for this, with this time.
async fn check(address: SocketAddr, service: &str, time: &str) -> Result<i32, Status> {
    let mut request = Request::new(HealthCheckRequest { service: service.to_owned() });
    request.metadata_mut().insert("grpc-timeout", time.parse().unwrap());
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    HealthClient::new(channel).check(request).await.map(|answer| answer.into_inner().status)
}

#[tokio::test]
async fn a_panic_a_handler_that_never_ends_and_a_problem_are_statuses() {
    let config = config();
    let address = serve(grpc_router(&config), &config).await;
    for (service, code) in
        [("panic", Code::Internal), ("slow", Code::Unavailable), ("problem", Code::NotFound)]
    {
        let status = check(address, service, "10S").await.unwrap_err();
        assert_eq!(status.code(), code, "{service}: {status:?}");
        assert!(!status.message().contains("as the test wants"), "{status:?}");
    }
}

#[tokio::test]
async fn a_handler_knows_the_shorter_of_the_callers_deadline_and_ours() {
    let config = ServerConfig { handler_timeout: LONG, ..config() };
    let address = serve(grpc_router(&config), &config).await;
    for (asked, most) in [("10S", 10_000), ("1H", 20_000)] {
        let left = check(address, "fine", asked).await.unwrap();
        assert!((most - 5000..=most).contains(&left), "{asked}: {left}");
    }
    // Tonic's client would keep the time itself.
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let call = client.post(format!("http://{address}{CHECK}")).header("content-type", "application/grpc");
    let call = call.header("grpc-timeout", "50m").body(&b"\0\0\0\0\x06\x0a\x04slow"[..]);
    let code = call.send().await.unwrap().headers()["grpc-status"].clone();
    assert_eq!(Code::from_bytes(code.as_bytes()), Code::DeadlineExceeded);
}
