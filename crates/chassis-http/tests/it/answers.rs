//! What is answered, by whichever layer: a problem, with the headers that every answer has.

use crate::support::{
    Answer, LONG, Meeting, SHORT, Server, config, keys, limited, line, post_request, read_to_end, router,
    wide,
};
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use chassis_http::{Keys, ServerConfig};
use parking_lot::Mutex;
use proptest::prelude::*;
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tower::ServiceExt;
use tower::util::MapResponseLayer;

const NAMED: &str = r#"{"fullName":"n"}"#;

#[tokio::test]
async fn every_error_is_a_problem_whichever_layer_answers() {
    let server = Server::start().await;
    let large = post_request("/things", "", &format!("{{\"fullName\":\"{}\"}}", "x".repeat(70_000)));
    let cases = [
        ("GET /nowhere HTTP/1.1\r\n\r\n".to_owned(), 404, "not-found"),
        ("PATCH /things HTTP/1.1\r\n\r\n".to_owned(), 405, "method-not-allowed"),
        ("GET /slow HTTP/1.1\r\n\r\n".to_owned(), 503, "timeout"),
        (post_request("/slow", "", "{}"), 503, "commit-unknown"),
        (post_request("/panic", "", "{}"), 500, "internal"),
        (post_request("/things", "", NAMED).replace(": 16", ": 17"), 408, "slow-body"),
        (large, 413, "too-large"),
        (
            post_request("/things", "", NAMED).replace("application/json", "text/plain"),
            415,
            "unsupported-media-type",
        ),
        (post_request("/things", "Content-Encoding: gzip\r\n", NAMED), 415, "unsupported-media-type"),
        (post_request("/things", "", "{"), 400, "not-json"),
        (post_request("/things", "", "{}"), 422, "invalid"),
        (post_request("/things", "Idempotency-Key: a b\r\n", NAMED), 400, "bad-request"),
        (post_request("/switch", "", ""), 403, "forbidden"),
        (
            "POST /things HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n".to_owned(),
            400,
            "bad-request",
        ),
    ];
    for (request, status, slug) in cases {
        let answer = server.ask(&request).await;
        assert_eq!(answer.status, status, "{request:.60}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()), "{answer:?}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        // A panic goes through the limiter's layer.
        assert_eq!(answer.header("x-ratelimit-limit").is_some(), status != 500, "{request:.60}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "{answer:?}");
        let problem = answer.json();
        assert_eq!(
            (&problem["type"], &problem["status"]),
            (&format!("/problems/{slug}").into(), &status.into())
        );
        assert!(!answer.body.contains("as the test wants"));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_layer_of_the_service_sees_every_request_and_what_was_answered() {
    let (seen, config) = (Arc::new(Mutex::new(Vec::new())), config());
    let noted = Arc::clone(&seen);
    let router = router(Meeting::default(), &config, &keys(&[line("app", "read")]), &limited(1, 5));
    let router = router.layer(MapResponseLayer::new(move |response: Response| {
        noted.lock().push(response.status().as_u16());
        response
    }));
    let server = Server::serving("http", router, &config, Meeting::default()).await;
    let known = "Authorization: Bearer app\r\n";
    for (path, headers) in [
        ("/things/1", known),
        ("/nowhere", known),
        ("/panic", known),
        ("/things/1", ""),
        ("/slow", known),
        ("/things", known),
        ("/things/1", known),
    ] {
        server.get(path, headers).await;
    }
    assert_eq!(*seen.lock(), [200, 404, 405, 401, 503, 405, 429]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_request_is_answered_with_a_failure_of_ours(
        method in "[A-Z]{1,8}|GET|POST|OPTIONS",
        path in "/things|/things/[!-~]{0,20}|/[!-~]{0,20}",
        kind in "application/json|[ -~]{0,30}",
        host in "localhost|[ -~]{0,20}",
        key in "[ -~]{0,300}",
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            r#"\{("fullName"|"nam"):("[a-z]*"|[0-9]{1,3}|null|\[\]|\{"fullName":1\})(,"fullName":"n")?\}?"#
                .prop_map(String::into_bytes),
        ],
    ) {
        let request = Request::builder()
            .method(method.as_str())
            .uri(path)
            .header("host", host)
            .header("content-type", kind)
            .header("idempotency-key", key)
            .body(Body::from(body));
        // What is no request at all does not come as far as this.
        let Ok(request) = request else { return Ok(()) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let router = router(Meeting::default(), &config(), &Keys::open(), &wide());
        let Ok(response) = runtime.block_on(router.oneshot(request));
        prop_assert!(!response.status().is_server_error(), "{}", response.status());
    }
}

#[tokio::test]
async fn faults_have_pointers_in_the_names_of_the_document() {
    let server = Server::start().await;
    let answer = server.post("/things", "", r#"{"fullName":""}"#).await;
    assert_eq!(answer.json()["errors"][0]["pointer"], "/fullName");
}

#[tokio::test]
async fn options_and_head_are_served_where_get_is() {
    let server = Server::start().await;
    let options = server.ask("OPTIONS /things/1 HTTP/1.1\r\n\r\n").await;
    assert_eq!((options.status, options.header("allow"), &*options.body), (204, Some("GET,HEAD"), ""));
    let head = server.ask("HEAD /things/1 HTTP/1.1\r\n\r\n").await;
    assert_eq!((head.status, head.header("content-length"), &*head.body), (200, Some("7"), ""));
}

#[tokio::test]
async fn a_page_of_a_listed_origin_may_call_and_read_even_errors() {
    let origins = vec!["https://a.example".parse().unwrap()];
    let server = Server::with(ServerConfig { cors_origins: origins, ..config() }, Keys::open(), wide()).await;
    let from = |origin: &str| format!("Origin: {origin}\r\n");
    for path in ["/things/1", "/nowhere"] {
        let answer = server.get(path, &from("https://a.example")).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example"));
        assert!(answer.header("access-control-expose-headers").unwrap().contains("retry-after"));
        let other = server.get(path, &from("https://b.example")).await;
        assert_eq!(other.header("access-control-allow-origin"), None);
    }
    let asked = format!(
        "OPTIONS /things HTTP/1.1\r\n{}Access-Control-Request-Method: POST\r\n\r\n",
        from("https://a.example")
    );
    let preflight = server.ask(&asked).await;
    assert_eq!((preflight.status, preflight.header("access-control-max-age")), (200, Some("7200")));
    assert_eq!(preflight.header("access-control-allow-credentials"), None);
}

#[tokio::test]
async fn without_keys_only_loopback_names_are_served_and_a_host_is_there_once() {
    let server = Server::start().await;
    for (hosts, status) in [
        ("Host: localhost\r\n", 200),
        ("Host: [::1]:80\r\n", 200),
        ("Host: evil.example\r\n", 421),
        ("", 400),
        ("Host: localhost\r\nHost: localhost\r\n", 400),
    ] {
        let mut stream = server.connect().await;
        let request = format!("GET /things/1 HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = Answer::parse(&read_to_end(&mut stream).await);
        assert_eq!(answer.status, status, "{hosts:?}: {answer:?}");
        assert_eq!(answer.header("x-ratelimit-limit").is_some(), status == 200, "before the limiter");
    }
}

#[tokio::test]
async fn a_caller_that_still_writes_a_body_nobody_wants_gets_its_answer() {
    let server = Server::start().await;
    let large = "x".repeat(900_000);
    for (path, status) in [("/things", 413), ("/nowhere", 404), ("/things/1", 405)] {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        // So that most of the body is still to be written when the answer is known.
        socket.set_send_buffer_size(4096).unwrap();
        let mut stream = socket.connect(server.address).await.unwrap();
        let request = post_request(path, "Host: localhost\r\nConnection: close\r\n", &large);
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(Answer::parse(&read_to_end(&mut stream).await).status, status);
    }
}

#[tokio::test]
async fn a_caller_that_asks_before_it_sends_is_told_to_go_on_or_why_not() {
    let server = Server::start().await;
    let head = |path: &str, length: usize| {
        let headers = "Host: localhost\r\nExpect: 100-continue\r\n";
        post_request(path, headers, "").replacen(": 0", &format!(": {length}"), 1)
    };
    let mut stream = server.connect().await;
    stream.write_all(head("/things", NAMED.len()).as_bytes()).await.unwrap();
    let mut line = [0; 21];
    timeout(LONG, stream.read_exact(&mut line)).await.unwrap().unwrap();
    assert_eq!(&line, b"HTTP/1.1 100 Continue");
    stream.write_all(NAMED.as_bytes()).await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(String::from_utf8_lossy(&answer).contains("HTTP/1.1 202"));
    for (path, length, status) in [("/nowhere", 9, 404), ("/things", 70_000, 413), ("/things/1", 9, 405)] {
        let mut stream = server.connect().await;
        stream.write_all(head(path, length).as_bytes()).await.unwrap();
        assert_eq!(Answer::parse(&read_to_end(&mut stream).await).status, status, "{path}");
    }
}

#[tokio::test]
async fn the_same_request_has_the_same_key_and_another_body_another_digest() {
    let server = Server::start().await;
    let key = "Idempotency-Key: k-1\r\n";
    for (headers, body) in [(key, NAMED), (key, NAMED), (key, r#"{"fullName":"m"}"#), ("", NAMED)] {
        assert_eq!(server.post("/things", headers, body).await.status, 202);
    }
    assert_eq!(server.post("/things", &key.repeat(2), NAMED).await.status, 400);
    let keys = server.meeting.keys.lock().clone();
    let [Some(first), Some(same), Some(other), None] = keys[..] else { panic!("{keys:?}") };
    assert_eq!(first, same);
    assert_eq!((first.scope == other.scope, first.digest == other.digest), (true, false));
}

#[tokio::test]
async fn a_slow_body_takes_none_of_the_handlers_time() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    let request = post_request("/things", "Host: localhost\r\nConnection: close\r\n", NAMED);
    let (head, body) = request.split_at(request.len() - NAMED.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(SHORT / 2).await;
    stream.write_all(body.as_bytes()).await.unwrap();
    assert_eq!(Answer::parse(&read_to_end(&mut stream).await).status, 202);
}
