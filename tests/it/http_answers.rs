//! Whatever is answered, and by whichever layer: told once by a line, once by a span, once by a metric.

use crate::support::{
    http::{Answer, LONG, Server, config, post, read_to_end},
    seen::Seen,
};
use epro_notify::platform::admission::Admission;
use tokio::{io::AsyncWriteExt, time::timeout};

/// A request; what it is told as: status, method, route.
pub type Case = (String, u16, &'static str, &'static str);

pub fn cases() -> Vec<Case> {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\n\r\n");
    let large = "x".repeat(70_000);
    let no_end = "POST /things HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    vec![
        (get("/things/secret-canary?query=secret-canary"), 200, "GET", "/things/{id}"),
        ("HEAD /things/1 HTTP/1.1\r\n\r\n".into(), 200, "HEAD", "/things/{id}"),
        ("OPTIONS /things/1 HTTP/1.1\r\n\r\n".into(), 204, "OPTIONS", "/things/{id}"),
        (post("/things", r#"{"name":"n"}"#), 202, "POST", "/things"),
        (post("/things", r#"{"name""#), 400, "POST", "/things"),
        (get("/secret-canary"), 404, "GET", "unmatched"),
        (post("/things/1", "{}"), 405, "POST", "/things/{id}"),
        ("BREW /things/1 HTTP/1.1\r\n\r\n".into(), 405, "OTHER", "/things/{id}"),
        (no_end.into(), 408, "POST", "/things"),
        (post("/things", &large), 413, "POST", "/things"),
        (post("/things", "{}").replace("application/json", "text/plain"), 415, "POST", "/things"),
        (post("/things", r#"{"nam":1}"#), 422, "POST", "/things"),
        (post("/panic", "{}"), 500, "POST", "/panic"),
        (get("/slow"), 503, "GET", "/slow"),
    ]
}

#[tokio::test]
async fn each_answer_is_counted_once_logged_once_and_traced_once() {
    for case in cases() {
        is_told_once(&case, None).await;
    }
}

/// Asks a server of its own, and looks for what it told.
pub async fn is_told_once(case: &Case, door: Option<Admission>) -> Answer {
    let (request, status, method, route) = case;
    let seen = Seen::begin();
    let server = Server::start_with(config(), true, door).await;
    let what = format!("{status} for {}", request.lines().next().unwrap());
    let answer = server.ask(request).await;
    server.stop().await;
    assert_eq!(answer.status, *status, "{what}");

    let lines = seen.lines();
    assert_eq!(lines.len(), 1, "{what}: {lines:?}");
    let line = |name: &str| lines[0].get(name).map(String::as_str);
    assert_eq!(line("status"), Some(status.to_string().as_str()), "{what}");
    assert_eq!((line("method"), line("route"), line("span")), (Some(*method), Some(*route), Some("request")));

    let spans = seen.spans();
    assert_eq!(spans.len(), 1, "{what}: {spans:?}");
    let span = |name: &str| spans[0].get(name).map(String::as_str);
    assert_eq!(span("http.response.status_code"), Some(status.to_string().as_str()), "{what}");
    assert_eq!(span("http.route"), Some(*route), "{what}");
    assert_eq!(span("otel.name"), Some(format!("{method} {route}").as_str()), "{what}");
    assert_eq!(span("otel.status_code"), (*status >= 500).then_some("ERROR"), "{what}");

    let labels =
        [format!("status=\"{status}\""), format!("method=\"{method}\""), format!("route=\"{route}\"")];
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    assert_eq!(seen.metric("http_request_duration_seconds_count", &labels), 1.0, "{what}");
    assert_eq!(seen.metric("http_request_duration_seconds_count", &[]), 1.0, "{what}");
    assert_eq!(seen.metric("http_requests_in_flight", &[]), 0.0, "{what}");
    let told = format!("{lines:?}{spans:?}{}", seen.page());
    assert!(!told.contains("secret-canary"), "{told}");
    answer
}

#[tokio::test]
async fn each_error_is_a_problem_with_its_status() {
    for (request, status, ..) in cases().into_iter().filter(|(_, status, ..)| *status >= 400) {
        let server = Server::start(config()).await;
        let answer = server.ask(&request).await;
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        for text in ["type", "title", "detail"] {
            assert!(problem[text].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        assert_eq!(answer.header("allow").is_some(), status == 405, "{answer:?}");
        assert!(!answer.body.contains("as the test wants"), "{answer:?}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_caller_that_still_writes_a_body_nobody_wants_gets_its_answer() {
    let server = Server::start(config()).await;
    let large = "x".repeat(900_000);
    for (path, status) in [("/things", 413), ("/nowhere", 404), ("/slow", 405)] {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        // So that most of the body is still to be written when the answer is known.
        socket.set_send_buffer_size(4096).unwrap();
        let mut stream = socket.connect(server.address).await.unwrap();
        let request = post(path, &large).replacen("\r\n", "\r\nConnection: close\r\n", 1);
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(Answer::parse(&read_to_end(&mut stream).await).status, status);
    }
}

#[tokio::test]
async fn faults_are_named_by_their_pointers() {
    let server = Server::start(config()).await;
    let answer = server.ask(&post("/things", r#"{"nam":1,"name":false}"#)).await;
    let pointers: Vec<_> =
        answer.json()["errors"].as_array().unwrap().iter().map(|e| e["pointer"].clone()).collect();
    assert_eq!(pointers, ["/name", "/nam"]);
}

#[tokio::test]
async fn a_caller_that_leaves_is_told_of_once_as_499() {
    let seen = Seen::begin();
    let mut config = config();
    config.handler_timeout = LONG;
    let server = Server::start(config).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /wait HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    timeout(LONG, server.meeting.begun.notified()).await.unwrap();
    drop(stream);
    server.stop().await;
    assert_eq!(seen.lines().len(), 1);
    assert_eq!(seen.lines()[0]["status"], "499");
    assert_eq!(seen.spans().len(), 1);
    assert_eq!(seen.metric("http_request_duration_seconds_count", &["status=\"499\""]), 1.0);
    assert_eq!(seen.metric("http_requests_in_flight", &[]), 0.0);
}

#[tokio::test]
async fn a_caller_that_leaves_within_its_body_is_told_of_once_as_499() {
    let seen = Seen::begin();
    let server = Server::start(config()).await;
    let mut stream = server.connect().await;
    stream.write_all(post("/things", "{}").replace(": 2", ": 9").as_bytes()).await.unwrap();
    drop(stream);
    // Only what is told ends the wait: the server notices by itself.
    timeout(LONG, async {
        while seen.lines().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    server.stop().await;
    assert_eq!(seen.lines().len(), 1);
    assert_eq!(seen.lines()[0]["status"], "499");
}

#[tokio::test]
async fn a_body_that_breaks_its_framing_is_the_callers_fault() {
    let server = Server::start(config()).await;
    let chunked = "POST /things HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n";
    assert_eq!(server.ask(chunked).await.status, 400);
}
