//! What the rate limit puts on answers, whichever layer gives them, and what is told of a refusal.

use crate::{
    http_answers::cases,
    support::{
        http::{Answer, Server, config, post},
        seen::Seen,
    },
};
use epro_notify::{
    config::Config,
    platform::{
        admission::Admission,
        auth::Keys,
        limits::{Clock, Limiter},
    },
};
use std::time::Duration;

/// Two requests at once, and one a second, by a clock that stands still.
fn admission() -> Admission {
    let set = [("limits.per_client.rate", "1"), ("limits.per_client.burst", "2")];
    let limits = Config::for_tests(&set).unwrap().limits;
    let limiter = Limiter::with_clock(&limits, Clock::new(|| Duration::ZERO));
    Admission::new(Keys::open(), limiter, &limits)
}

async fn limited() -> Server {
    Server::start_with(config(), false, Some(admission())).await
}

fn told(answer: &Answer) -> [Option<&str>; 4] {
    ["x-ratelimit-limit", "x-ratelimit-remaining", "ratelimit-policy", "ratelimit"]
        .map(|name| answer.header(name))
}

#[tokio::test]
async fn every_answer_tells_the_limit_whichever_layer_gives_it() {
    for (request, status, ..) in cases() {
        let server = limited().await;
        let answer = server.ask(&request).await;
        assert_eq!(answer.status, status, "{request:.40}");
        let first = [Some("2"), Some("1"), Some("\"default\";q=2;w=2"), Some("\"default\";r=1;t=1")];
        assert_eq!(told(&answer), first, "{answer:?}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_refusal_says_the_limit_and_is_counted_logged_and_traced_once() {
    let seen = Seen::begin();
    let server = limited().await;
    for path in ["/things/1", "/nowhere"] {
        assert_ne!(server.ask(&format!("GET {path} HTTP/1.1\r\n\r\n")).await.status, 429);
    }
    let answer = server.ask(&post("/things", r#"{"name":"n"}"#)).await;
    server.stop().await;

    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("1")), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let refused = [Some("2"), Some("0"), Some("\"default\";q=2;w=2"), Some("\"default\";r=0;t=1")];
    assert_eq!(told(&answer), refused);
    let problem = answer.json();
    assert_eq!((&problem["type"], &problem["status"]), (&"/problems/rate-limited".into(), &429.into()));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("2 requests at once, and 1 a second"), "{detail}");

    let (lines, spans) = (seen.lines(), seen.spans());
    assert_eq!((lines.len(), spans.len()), (3, 3));
    assert_eq!((lines[2]["status"].as_str(), lines[2]["route"].as_str()), ("429", "/things"));
    assert_eq!(spans[2]["http.response.status_code"], "429");
    assert!(!spans[2].contains_key("otel.status_code"), "the caller's fault: {spans:?}");
    assert_eq!(seen.metric("http_request_duration_seconds_count", &["status=\"429\""]), 1.0);
    let decisions = |decision: &str| {
        seen.metric("rate_limit_decisions_total", &["surface=\"http\"", &format!("decision=\"{decision}\"")])
    };
    assert_eq!((decisions("allowed"), decisions("limited")), (2.0, 1.0));
}

#[tokio::test]
async fn a_refused_callers_body_is_not_waited_for() {
    let server = limited().await;
    for _ in 0..2 {
        server.ask("GET /things/1 HTTP/1.1\r\n\r\n").await;
    }
    let expecting = "POST /things HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(server.ask(expecting).await.status, 429);
    server.stop().await;
}
