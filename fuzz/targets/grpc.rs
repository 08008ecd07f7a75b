//! Calls as the gRPC stack takes them: a path, a `grpc-timeout`, a message.

use super::first_line;
use axum::body::Body;
use epro_notify::{
    config::Config,
    platform::{
        grpc::{GrpcStack, Services},
        health::Health,
        http::Peer,
        resilience::Degradation,
        shutdown::Shutdown,
    },
};
use http::{HeaderValue, Request, Version, header};
use http_body_util::BodyExt;
use std::sync::OnceLock;
use tokio::runtime::Runtime;

const UNKNOWN: &str = "2";

fn served() -> &'static (Runtime, GrpcStack) {
    static SERVED: OnceLock<(Runtime, GrpcStack)> = OnceLock::new();
    SERVED.get_or_init(|| {
        let config = Config::for_tests(&[]).unwrap();
        // So that what would be watched for ever ends at once.
        let stopped = Shutdown::default().stop();
        stopped.cancel();
        let services = Services::new().with_health(&Health::default(), stopped).with_reflection().unwrap();
        let stack = GrpcStack::new(services, &config.grpc, None, Degradation::new(&[]));
        (Runtime::new().unwrap(), stack)
    })
}

/// A line with the path, one with the deadline, and the message: an answer with one code, which says what
/// happened.
pub fn grpc_call(bytes: &[u8]) {
    let (path, rest) = first_line(bytes);
    let (deadline, message) = first_line(rest);
    let mut request = Request::builder()
        .method("POST")
        .version(Version::HTTP_2)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/grpc");
    if !deadline.is_empty()
        && let Ok(value) = HeaderValue::from_bytes(deadline)
    {
        request = request.header("grpc-timeout", value);
    }
    let Ok(request) = request.body(Body::from(message.to_vec())) else { return };
    let (runtime, stack) = served();
    let peer = Peer { address: ([127, 0, 0, 1], 1).into(), trusted: false, encrypted: false };
    let (head, trailers) = runtime.block_on(async {
        let (head, body) = stack.answer(request, peer).await.into_parts();
        (head, body.collect().await.unwrap().trailers().cloned().unwrap_or_default())
    });
    assert_eq!(head.status, 200);
    let codes: Vec<_> =
        [&head.headers, &trailers].into_iter().flat_map(|all| all.get_all("grpc-status")).collect();
    assert!(codes.len() == 1 && codes[0] != UNKNOWN, "{head:?} {trailers:?}");
}
