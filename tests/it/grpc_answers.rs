//! However a call ends, and whichever layer ends it: told once by a line, once by a span, once by a metric,
//! all with the code that the caller reads.

use crate::support::{
    grpc::{FEATURE, REPORT_ID, SERVICE, Server, Setup, code, get, submit, within},
    http::LONG,
    seen::Seen,
};
use epro_notify::{
    config::Config,
    platform::{
        admission::{Admission, Needs},
        auth::{Key, Keys},
        grpc::{LARGEST_MESSAGE, codes, status},
        limits::{Clock, Limiter, Surface},
    },
    proto::epro::{GetLatestReportRequest, epro_service_client::EproServiceClient},
};
use http::{HeaderMap, HeaderValue, header};
use std::time::Duration;
use tokio::time::timeout;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt;

const KNOWN: &str = "Bearer a-key";
const DURATION: &str = "grpc_request_duration_seconds_count";

/// Fails unless the one call that was made is told of once, as this.
fn is_told_once(seen: &Seen, expected: Code, service: &str, method: &str) {
    let name = codes::name(expected);
    let lines = seen.lines();
    assert_eq!(lines.len(), 1, "{name}: {lines:?}");
    for (field, value) in
        [("grpc_code", name), ("grpc_service", service), ("grpc_method", method), ("span", "call")]
    {
        assert_eq!(lines[0].get(field).map(String::as_str), Some(value), "{lines:?}");
    }
    let spans = seen.spans();
    assert_eq!(spans.len(), 1, "{name}: {spans:?}");
    let span = |attribute: &str| spans[0].get(attribute).map(String::as_str);
    let known = format!("{service}/{method}");
    let (named, full) = if service == SERVICE { (&*known, &*known) } else { ("grpc", "_OTHER") };
    assert_eq!((span("otel.name"), span("rpc.method")), (Some(named), Some(full)));
    assert_eq!((span("otel.kind"), span("rpc.system.name")), (Some("server"), Some("grpc")));
    assert_eq!(span("rpc.response.status_code"), Some(name));
    let failed = codes::is_server_error(expected);
    assert_eq!(span("otel.status_code"), failed.then_some("ERROR"), "{name}");
    assert_eq!(span("error.type"), failed.then_some(name), "{name}");
    let labels = [
        format!("grpc_code=\"{name}\""),
        format!("grpc_service=\"{service}\""),
        format!("grpc_method=\"{method}\""),
        "side=\"server\"".to_owned(),
    ];
    assert_eq!(seen.metric(DURATION, &labels.each_ref().map(String::as_str)), 1.0, "{}", seen.page());
    assert_eq!(seen.metric(DURATION, &[]), 1.0);
    let told = format!("{lines:?}{spans:?}{}", seen.page());
    assert!(!told.contains("secret-canary"), "{told}");
}

/// Makes one call to a server of its own, and looks for what it told.
async fn told<T>(
    setup: Setup,
    expected: Code,
    method: &str,
    call: impl AsyncFnOnce(&Server, EproServiceClient<Channel>) -> Result<T, Status>,
) -> Result<T, Status> {
    let seen = Seen::begin();
    let server = setup.start().await;
    let client = server.client().await;
    let outcome = call(&server, client).await;
    server.stop().await;
    assert_eq!(code(&outcome), expected);
    is_told_once(&seen, expected, SERVICE, method);
    if expected == Code::Ok && method == "GetLatestReport" {
        assert_eq!(seen.lines()[0]["id"], REPORT_ID);
    }
    outcome
}

#[tokio::test]
async fn every_end_of_a_handler_is_told_once() {
    let cases = [
        ("secret-canary", Code::Ok),
        ("missing", Code::NotFound),
        ("invalid", Code::InvalidArgument),
        ("panic", Code::Internal),
        ("never", Code::DeadlineExceeded),
    ];
    for (order, expected) in cases {
        let call = async |_: &Server, mut client: EproServiceClient<Channel>| {
            client.get_latest_report(get(order)).await
        };
        let outcome = told(Setup::new(), expected, "GetLatestReport", call).await;
        if let Err(status) = outcome {
            assert!(!status.message().contains("as the test wants"), "{status:?}");
        }
    }
}

#[tokio::test]
async fn a_message_of_the_largest_size_is_taken_and_a_larger_one_is_not() {
    let overhead = 3 + 4;
    for (bytes, expected) in [
        (LARGEST_MESSAGE - overhead, Code::Ok),
        (LARGEST_MESSAGE, Code::ResourceExhausted),
        (8 * LARGEST_MESSAGE, Code::ResourceExhausted),
    ] {
        let call = async |_: &Server, mut client: EproServiceClient<Channel>| {
            client.submit_report(submit(bytes)).await
        };
        let _ = told(Setup::new(), expected, "SubmitReport", call).await;
    }
}

#[tokio::test]
async fn the_callers_deadline_is_kept_and_one_that_cannot_be_read_is_refused() {
    let cases = [
        ("never", "100m", Code::DeadlineExceeded),
        ("report", "0n", Code::DeadlineExceeded),
        ("report", "soon", Code::InvalidArgument),
        ("report", "123456789n", Code::InvalidArgument),
    ];
    for (order, time, expected) in cases {
        let seen = Seen::begin();
        let setup = Setup { settings: vec![("http.handler_timeout", "20s")], ..Setup::new() };
        let server = setup.start().await;
        assert_eq!(within(&server, order, time).await, expected);
        server.stop().await;
        is_told_once(&seen, expected, SERVICE, "GetLatestReport");
    }
}

#[tokio::test]
async fn a_handler_knows_the_shorter_of_the_callers_deadline_and_ours() {
    for (time, most) in [("10S", 10_000), ("1H", 20_000)] {
        let setup = Setup { settings: vec![("http.handler_timeout", "20s")], ..Setup::new() };
        let call = async |_: &Server, mut client: EproServiceClient<Channel>| {
            let mut request = get("report");
            request.metadata_mut().insert("grpc-timeout", time.parse().unwrap());
            client.get_latest_report(request).await
        };
        let answer = told(setup, Code::Ok, "GetLatestReport", call).await.unwrap();
        let left = answer.into_inner().report.unwrap().submitted_at;
        assert!((most - 5000..=most).contains(&left), "{time}: {left}");
    }
}

/// Lets one key in once, since its clock stands still; not now, if somebody was let in before, over HTTP.
fn door(scopes: &str, used: bool) -> Setup {
    let once = [("limits.per_client.burst", "1"), ("limits.per_client.rate", "1")];
    let limits = Config::for_tests(&once).unwrap().limits;
    let key = Key::of("caller".parse().unwrap(), scopes.parse().unwrap(), "a-key");
    let limiter = Limiter::with_clock(&limits, Clock::new(|| Duration::ZERO));
    let door = Admission::new(Keys::of(vec![key]), limiter, &limits);
    if used {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(KNOWN))]);
        assert!(door.ask(&headers, [127, 0, 0, 1].into(), Needs::Key, Surface::Http).verdict.is_ok());
    }
    Setup { door: Some(door), ..Setup::new() }
}

fn with_key(key: &'static str) -> Request<GetLatestReportRequest> {
    let mut request = get("report");
    if !key.is_empty() {
        request.metadata_mut().insert("authorization", key.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn who_is_refused_at_the_door_is_told_once_with_the_reason() {
    let cases = [
        (KNOWN, door("read", false), Code::Ok),
        (KNOWN, door("send", false), Code::PermissionDenied),
        // The bucket is that of HTTP.
        (KNOWN, door("read", true), Code::ResourceExhausted),
        ("", door("read", false), Code::Unauthenticated),
        ("Bearer secret-canary", door("read", false), Code::Unauthenticated),
    ];
    for (key, setup, expected) in cases {
        let call = async |_: &Server, mut client: EproServiceClient<Channel>| {
            client.get_latest_report(with_key(key)).await
        };
        let outcome = told(setup, expected, "GetLatestReport", call).await;
        if expected == Code::ResourceExhausted {
            let after = outcome.unwrap_err().get_details_retry_info().unwrap().retry_delay;
            assert_eq!(after, Some(Duration::from_secs(1)));
        }
    }
}

#[tokio::test]
async fn a_shed_call_says_that_it_is_no_failure_and_when_to_come_again() {
    let setup = Setup::new();
    setup.degradation.pin(Some(FEATURE.level)).unwrap();
    let call =
        async |_: &Server, mut client: EproServiceClient<Channel>| client.submit_report(submit(1)).await;
    let shed = told(setup, Code::Unavailable, "SubmitReport", call).await.unwrap_err();
    let info = shed.get_details_error_info().unwrap();
    assert_eq!((&*info.reason, &*info.domain), (status::DEGRADED, status::DOMAIN));
    assert!(shed.get_details_retry_info().unwrap().retry_delay.unwrap() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_caller_that_leaves_is_told_of_once_as_cancelled() {
    let seen = Seen::begin();
    let setup = Setup { settings: vec![("http.handler_timeout", "20s")], ..Setup::new() };
    let server = setup.start().await;
    let mut client = server.client().await;
    let meeting = server.meeting.clone();
    tokio::select! {
        _ = client.get_latest_report(get("wait")) => panic!("it is not to answer"),
        begun = timeout(LONG, meeting.begun.notified()) => begun.unwrap(),
    }
    drop(client);
    server.stop().await;
    is_told_once(&seen, Code::Cancelled, SERVICE, "GetLatestReport");
}

#[tokio::test]
async fn every_method_that_is_not_served_is_told_as_one() {
    for path in ["/epro.v1.EproService/secret-canary", "/secret-canary/GetLatestReport", "/", "/a/b/c"] {
        let seen = Seen::begin();
        let server = Setup::new().start().await;
        let mut client = tonic::client::Grpc::new(server.channel().await);
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<GetLatestReportRequest, GetLatestReportRequest>::default();
        let outcome = client.unary(get("x"), http::uri::PathAndQuery::from_static(path), codec).await;
        drop(client);
        server.stop().await;
        assert_eq!(code(&outcome), Code::Unimplemented, "{path}");
        is_told_once(&seen, Code::Unimplemented, "unmatched", "unmatched");
    }
}

#[tokio::test]
async fn without_a_key_nobody_learns_which_methods_there_are() {
    let server = door("read", false).start().await;
    let mut client = tonic::client::Grpc::new(server.channel().await);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<GetLatestReportRequest, GetLatestReportRequest>::default();
    let path = http::uri::PathAndQuery::from_static("/no.Service/None");
    let outcome = client.unary(get("x"), path, codec).await;
    assert_eq!(code(&outcome), Code::Unauthenticated);
    server.stop().await;
}
