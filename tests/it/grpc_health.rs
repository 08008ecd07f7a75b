//! Health and reflection: readiness as callers see it, watched for as long as they like, and what is served.

use crate::support::{
    grpc::{SERVICE, Setup, code},
    http::LONG,
    seen::Seen,
    service::Site,
};
use epro_notify::platform::{
    admission::Admission,
    auth::{Key, Keys},
    limits::Limiter,
};
use rustix::process::Signal;
use std::time::Duration;
use tokio::time::timeout;
use tonic::{Code, Request, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

/// Knows one key, and lets nobody without it in more than once.
fn door() -> Admission {
    let once = [("limits.per_client.burst", "1"), ("limits.per_client.rate", "1")];
    let limits = epro_notify::config::Config::for_tests(&once).unwrap().limits;
    let key = Key::of("caller".parse().unwrap(), "read".parse().unwrap(), "a-key");
    Admission::new(Keys::of(vec![key]), Limiter::new(&limits), &limits)
}

async fn next(watched: &mut tonic::Streaming<HealthCheckResponse>) -> Option<ServingStatus> {
    let next = timeout(LONG, watched.message()).await.unwrap().unwrap();
    next.map(|told| told.status())
}

#[tokio::test]
async fn readiness_is_told_to_everybody_without_a_key_a_limit_a_line_or_a_span() {
    let seen = Seen::begin();
    let server = Setup { door: Some(door()), ..Setup::new() }.start().await;
    let mut client = HealthClient::new(server.channel().await);
    let mut status =
        async |service: &str| client.check(of(service)).await.map(|told| told.into_inner().status());
    assert_eq!(status("").await.unwrap(), ServingStatus::NotServing);
    let check = server.health.check("part");
    check.ok();
    for service in ["", SERVICE, "", SERVICE] {
        assert_eq!(status(service).await.unwrap(), ServingStatus::Serving);
    }
    check.fail("it broke");
    assert_eq!(status(SERVICE).await.unwrap(), ServingStatus::NotServing);
    assert_eq!(code(&status("canary").await), Code::NotFound);
    drop(client);
    server.stop().await;
    assert_eq!((seen.lines().len(), seen.spans().len()), (0, 0));
    let counted = seen.metric(
        "grpc_request_duration_seconds_count",
        &["grpc_service=\"grpc.health.v1.Health\"", "grpc_method=\"Check\"", "grpc_code=\"OK\""],
    );
    assert_eq!(counted, 6.0);
}

#[tokio::test]
async fn who_watches_is_told_of_each_change_however_long_it_is_quiet_and_let_go_at_the_stop() {
    let server = Setup::new().start().await;
    let mut client = HealthClient::new(server.channel().await);
    let mut watched = client.watch(of(SERVICE)).await.unwrap().into_inner();
    let mut unknown = client.watch(of("another")).await.unwrap().into_inner();
    assert_eq!(next(&mut watched).await, Some(ServingStatus::NotServing));
    assert_eq!(next(&mut unknown).await, Some(ServingStatus::ServiceUnknown));
    // Longer than the listener waits for a step.
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.health.check("part").ok();
    assert_eq!(next(&mut watched).await, Some(ServingStatus::Serving));
    server.health.not_ready("shutting down");
    assert_eq!(next(&mut watched).await, Some(ServingStatus::NotServing));
    // The connection is still open: the drain does not wait for those who watch.
    server.stop().await;
    assert_eq!((next(&mut watched).await, next(&mut unknown).await), (None, None));
    drop(client);
}

#[tokio::test]
async fn what_is_served_describes_itself_to_who_has_a_key() {
    let server = Setup { door: Some(door()), ..Setup::new() }.start().await;
    let mut client = ServerReflectionClient::new(server.channel().await);
    let list = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut asked = Request::new(futures_util::stream::iter([list.clone()]));
    asked.metadata_mut().insert("authorization", "Bearer a-key".parse().unwrap());
    let mut answers = client.server_reflection_info(asked).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(listed) = answer else { panic!("{answer:?}") };
    let mut names: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
    names.sort();
    assert_eq!(names, [SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]);
    let refused = client.server_reflection_info(futures_util::stream::iter([list])).await;
    assert_eq!(code(&refused), Code::Unauthenticated);
    drop((answers, client));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_sigterm_health_flips_before_the_listener_closes() {
    let service = Site::new().with("APP_SHUTDOWN__NOT_READY_FOR", "2s").start();
    let address = format!("http://{}", service.grpc);
    let channel = Channel::from_shared(address.clone()).unwrap().connect().await.unwrap();
    let mut watched = HealthClient::new(channel).watch(of("")).await.unwrap().into_inner();
    assert_eq!(next(&mut watched).await, Some(ServingStatus::Serving));
    service.signal(Signal::TERM);
    assert_eq!(next(&mut watched).await, Some(ServingStatus::NotServing));
    // New connections are still taken, and told the same.
    let another = Channel::from_shared(address).unwrap().connect().await.unwrap();
    let told = HealthClient::new(another).check(of("")).await.unwrap().into_inner();
    assert_eq!(told.status(), ServingStatus::NotServing);
    assert_eq!(next(&mut watched).await, None);
    let (exit, output) = tokio::task::spawn_blocking(|| service.ended()).await.unwrap();
    assert_eq!(exit, 0, "{output}");
}
