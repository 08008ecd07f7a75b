//! gRPC on the same layers: refusals are statuses, deadlines are kept, streams end with the listener.

use crate::support::{CHECK, LONG, Meeting, SHORT, Server, config, grpc_router, keys, limited, line, wide};
use axum::Router;
use bytes::Bytes;
use chassis_http::{Keys, Limits, LimitsConfig, ServerConfig, grpc, identify, layers};
use futures_util::StreamExt;
use http_body::Frame;
use http_body_util::StreamBody;
use std::{
    convert::Infallible,
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};
use tonic_types::StatusExt;

async fn start(config: &ServerConfig, keys: Keys, limits: &LimitsConfig) -> Server {
    let shared = Limits::new(limits);
    let router = grpc_router(config, &keys, limits, &shared);
    Server::serving("grpc", router, config, Meeting::default()).await
}

async fn channel(server: &Server) -> Channel {
    Channel::from_shared(format!("http://{}", server.address)).unwrap().connect().await.unwrap()
}

/// Asks for this, with these metadata.
async fn check(channel: &Channel, service: &str, metadata: &[(&'static str, &str)]) -> Result<i32, Status> {
    let mut request = Request::new(HealthCheckRequest { service: service.to_owned() });
    for (name, value) in metadata {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    let answer = timeout(LONG, HealthClient::new(channel.clone()).check(request)).await.unwrap();
    answer.map(|answer| answer.into_inner().status)
}

#[tokio::test]
async fn every_end_of_a_call_is_a_status() {
    let server = start(&config(), keys(&[line("reader", "read"), line("sender", "send")]), &wide()).await;
    let channel = channel(&server).await;
    let reader = ("authorization", "Bearer reader");
    for (service, metadata, code) in [
        ("fine", &[reader][..], Code::Ok),
        ("panic", &[reader], Code::Internal),
        ("slow", &[reader], Code::Unavailable),
        ("problem", &[reader], Code::NotFound),
        ("fine", &[reader, ("grpc-timeout", "soon")], Code::InvalidArgument),
        ("fine", &[("authorization", "Bearer sender")], Code::PermissionDenied),
        ("fine", &[("authorization", "Bearer wrong")], Code::Unauthenticated),
        ("fine", &[], Code::Unauthenticated),
        (&"x".repeat(300_000), &[reader], Code::ResourceExhausted),
    ] {
        let outcome = check(&channel, service, metadata).await;
        let found = outcome.as_ref().map_or_else(Status::code, |_| Code::Ok);
        assert_eq!(found, code, "{service:.9} {metadata:?}: {outcome:?}");
        assert!(!outcome.is_err_and(|status| status.message().contains("as the test wants")));
    }
    drop(channel);
    server.stop().await;
}

#[tokio::test]
async fn a_handler_knows_the_shorter_of_the_callers_deadline_and_ours() {
    let server = start(&ServerConfig { handler_timeout: LONG, ..config() }, Keys::open(), &wide()).await;
    let channel = channel(&server).await;
    for (asked, most) in [("10S", 10_000), ("1H", 20_000)] {
        let left = check(&channel, "fine", &[("grpc-timeout", asked)]).await.unwrap();
        assert!((most - 5000..=most).contains(&left), "{asked}: {left}");
    }
    let slow = b"\0\0\0\0\x06\x0a\x04slow";
    for passed in ["50m", "0n"] {
        assert_eq!(sends(&server, passed, slow, true).await, Code::DeadlineExceeded);
    }
}

#[tokio::test]
async fn one_clients_calls_over_http_and_grpc_draw_on_one_bucket() {
    let (limits, config, keys) = (limited(1, 2), config(), Keys::open());
    let shared = Limits::new(&limits);
    let http = Router::new()
        .fallback(layers::not_found)
        .layer(tower::ServiceBuilder::new().layer(identify(&keys, &limits)).layer(shared.http_layer()));
    let http = Server::serving("http", http, &config, Meeting::default()).await;
    let router = grpc_router(&config, &keys, &limits, &shared);
    let server = Server::serving("grpc", router, &config, Meeting::default()).await;
    let channel = channel(&server).await;
    assert_eq!(http.get("/", "").await.status, 404);
    check(&channel, "fine", &[]).await.unwrap();
    assert_eq!(http.get("/", "").await.status, 429);
    let limited = check(&channel, "fine", &[]).await.unwrap_err();
    assert_eq!(limited.code(), Code::ResourceExhausted);
    let wait = limited.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(wait >= Duration::from_secs(1), "{wait:?}");
}

#[tokio::test]
async fn a_method_that_is_not_served_is_told_to_known_callers_alone() {
    let server = start(&config(), keys(&[line("sender", "send")]), &wide()).await;
    let mut client = tonic::client::Grpc::new(channel(&server).await);
    let mut call = async |key: &'static str| {
        client.ready().await.unwrap();
        let mut request = Request::new(HealthCheckRequest::default());
        request.metadata_mut().insert("authorization", key.parse().unwrap());
        let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckRequest>::default();
        let path = http::uri::PathAndQuery::from_static("/no.Service/None");
        client.unary(request, path, codec).await.unwrap_err().code()
    };
    assert_eq!(call("Bearer sender").await, Code::Unimplemented);
    assert_eq!(call("Bearer wrong").await, Code::Unauthenticated);
}

#[tokio::test]
async fn what_is_no_grpc_is_refused_in_its_own_terms() {
    let server = start(&config(), Keys::open(), &wide()).await;
    assert_eq!(server.post("/", "", "{}").await.status, 505);
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let url = format!("http://{}{CHECK}", server.address);
    let get = client.get(&url).header("content-type", "application/grpc").send().await.unwrap();
    assert_eq!((get.status().as_u16(), get.headers()["allow"].to_str().unwrap()), (405, "POST"));
    let json = client.post(&url).header("content-type", "application/json").body("{}").send().await.unwrap();
    assert_eq!(json.status(), 415);
}

/// The status of a call with this deadline whose body is these bytes, and then its end or nothing.
async fn sends(server: &Server, deadline: &str, bytes: &'static [u8], ends: bool) -> Code {
    let sent = futures_util::stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(bytes)))]);
    let body = if ends {
        reqwest::Body::wrap(StreamBody::new(sent))
    } else {
        reqwest::Body::wrap(StreamBody::new(sent.chain(futures_util::stream::pending())))
    };
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let call = client.post(format!("http://{}{CHECK}", server.address));
    let call = call.header("content-type", "application/grpc").header("grpc-timeout", deadline);
    let answer = call.body(body).send().await.unwrap();
    Code::from_bytes(answer.headers()["grpc-status"].as_bytes())
}

#[tokio::test]
async fn a_request_that_is_not_one_whole_message_is_refused_and_does_no_harm() {
    let config = ServerConfig { handler_timeout: LONG, ..config() };
    let server = start(&config, Keys::open(), &wide()).await;
    let cases: [(&[u8], bool, Code); 6] = [
        (b"\0\0\0\0\x03\x0a\x01p", false, Code::Cancelled),
        (b"\0\0", false, Code::Cancelled),
        (b"\0\0\0\0\x09\x0a", true, Code::Internal),
        (b"\0\0\0\0\x01\xff", true, Code::Internal),
        // It says that it will be too large, and is not waited for.
        (b"\0\x7f\0\0\0", false, Code::ResourceExhausted),
        (b"\0\0\0\0\0\0\0\0\0\0", true, Code::InvalidArgument),
    ];
    for (bytes, ends, expected) in cases {
        assert_eq!(sends(&server, "1H", bytes, ends).await, expected, "{bytes:?}");
        check(&channel(&server).await, "fine", &[]).await.unwrap();
    }
}

#[tokio::test]
async fn readiness_is_told_to_everybody_and_who_watches_is_let_go_at_the_stop() {
    let (config, keys, limits) = (config(), keys(&[line("reader", "read")]), limited(1, 1));
    let (ready, told) = watch::channel(false);
    let stop = CancellationToken::new();
    let (health, passed_on) = grpc::health(told, &["a.Service"], stop.clone());
    tokio::spawn(passed_on);
    let behind = Router::new().fallback(layers::not_found).layer(
        tower::ServiceBuilder::new().layer(identify(&keys, &limits)).layer(Limits::new(&limits).grpc_layer()),
    );
    let server = Server::serving("grpc", behind.merge(health), &config, Meeting::default()).await;
    let channel = channel(&server).await;
    let of = |service: &str| HealthCheckRequest { service: service.to_owned() };
    let mut client = HealthClient::new(channel.clone());
    for _ in 0..3 {
        assert_eq!(check(&channel, "a.Service", &[]).await.unwrap(), ServingStatus::NotServing as i32);
    }
    assert_eq!(check(&channel, "another", &[]).await.unwrap_err().code(), Code::NotFound);
    let mut watched = client.watch(of("")).await.unwrap().into_inner();
    let mut next =
        async || timeout(LONG, watched.message()).await.unwrap().unwrap().map(|told| told.status());
    assert_eq!(next().await, Some(ServingStatus::NotServing));
    // Longer than handlers take, connections idle, and a farewell.
    tokio::time::sleep(SHORT * 2 + Duration::from_millis(1200)).await;
    ready.send_replace(true);
    assert_eq!(next().await, Some(ServingStatus::Serving));
    ready.send_replace(false);
    assert_eq!(next().await, Some(ServingStatus::NotServing));
    // The connection is still open: the drain does not wait for those who watch.
    let begun = Instant::now();
    stop.cancel();
    server.stop().await;
    assert_eq!(next().await, None);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_reflection_stream_lasts_and_neither_holds_up_the_stop() {
    let (config, keys, limits) = (config(), keys(&[line("reader", "read")]), wide());
    let stop = CancellationToken::new();
    let reflection = grpc::reflection(&[], stop.clone()).unwrap();
    let router = reflection.fallback(layers::not_found).layer(identify(&keys, &limits));
    let server = Server::serving("grpc", router, &config, Meeting::default()).await;
    let mut client = ServerReflectionClient::new(channel(&server).await);
    let list = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let refused = client.server_reflection_info(futures_util::stream::iter([list.clone()])).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    let (questions, asked) = tokio::sync::mpsc::channel(1);
    let asked = futures_util::stream::unfold(asked, async |mut asked| Some((asked.recv().await?, asked)));
    let mut request = Request::new(asked);
    request.metadata_mut().insert("authorization", "Bearer reader".parse().unwrap());
    questions.send(list.clone()).await.unwrap();
    let mut answers = client.server_reflection_info(request).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().is_some());
    tokio::time::sleep(SHORT * 2).await;
    questions.send(list).await.unwrap();
    assert!(answers.message().await.unwrap().is_some(), "it ended with the time of a unary call");
    let begun = Instant::now();
    stop.cancel();
    server.stop().await;
    assert!(answers.message().await.unwrap().is_none());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
