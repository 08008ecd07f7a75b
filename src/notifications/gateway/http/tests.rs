//! The provider against gateways on real sockets that break at chosen moments.

use super::*;
use crate::config::GatewayUrl;
use chassis_queue::{JobId, Priority};
use serde_json::{Value, json};
use std::{future::Future, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// For gateways that must be given up on.
const SOON: Duration = Duration::from_millis(300);
/// For the others: far more than they need.
const LONG: Duration = Duration::from_secs(30);
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

fn config(scheme: &str, address: SocketAddr, timeout: Duration) -> HttpGatewayConfig {
    let url: GatewayUrl = format!("{scheme}://{address}/v1/send?key=canary").parse().unwrap();
    HttpGatewayConfig { url: Some(url), timeout, idle_timeout: LONG, rate: None, authorization_file: None }
}

fn provider(scheme: &str, address: SocketAddr, timeout: Duration) -> HttpGateway {
    HttpGateway::new(Channel::Sms, &config(scheme, address, timeout), 4, LONG).unwrap()
}

async fn send(provider: &HttpGateway) -> Outcome {
    let id = JobId::from_number(1);
    let (to, text) = ("+4930901820".parse().unwrap(), "Your \"visit\" is tomorrow 😀".parse().unwrap());
    let attempt = Attempt {
        id,
        group: id,
        batch: None,
        channel: "sms",
        priority: Priority::Normal,
        number: 1,
        now: false,
    };
    provider.send(&Envelope::Sms { id, to: &to, text: &text }, &attempt).await
}

/// A gateway that does `serve` to its first connection.
async fn gateway<F>(
    serve: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> (SocketAddr, JoinHandle<F::Output>)
where
    F: Future<Output: Send> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test has no span to lose")]
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream).await
    });
    (address, served)
}

/// Reads one request to its end: its head, and its body.
async fn read_request(stream: &mut TcpStream) -> (String, Value) {
    let mut bytes = Vec::new();
    loop {
        stream.read_buf(&mut bytes).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() >= length.parse().unwrap() {
            return (head.to_owned(), serde_json::from_str(body).unwrap());
        }
    }
}

/// Answers each request of one connection with the next of `answers`.
async fn answering(answers: Vec<String>) -> SocketAddr {
    let serve = async move |mut stream: TcpStream| {
        for answer in answers {
            read_request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        // Until the client hangs up.
        let _ = stream.read_buf(&mut Vec::new()).await;
    };
    gateway(serve).await.0
}

#[tokio::test]
async fn the_request_is_the_contracts() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "Bearer secret\n").unwrap();
    let (address, served) = gateway(async |mut stream| {
        let request = read_request(&mut stream).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        request
    })
    .await;
    let config = HttpGatewayConfig {
        authorization_file: Some(file.path().to_owned()),
        ..config("http", address, LONG)
    };
    let provider = HttpGateway::new(Channel::Sms, &config, 4, LONG).unwrap();
    assert_eq!(send(&provider).await, Outcome::Completed { receipt: None });
    let (head, body) = served.await.unwrap();
    let text = "Your \"visit\" is tomorrow 😀";
    assert_eq!(body, json!({ "id": "0000000000001", "to": "+4930901820", "text": text }));
    assert!(head.starts_with("POST /v1/send?key=canary HTTP/1.1\r\n"), "{head}");
    for header in
        ["idempotency-key: 0000000000001", "content-type: application/json", "authorization: Bearer secret"]
    {
        assert!(head.contains(&format!("\r\n{header}\r\n")), "{head}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_parks_the_job() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = elsewhere.local_addr().unwrap();
    let answer = format!("HTTP/1.1 307 Hm\r\nlocation: http://{to}/\r\ncontent-length: 0\r\n\r\n");
    let provider = provider("http", answering(vec![answer]).await, LONG);
    let Outcome::Snooze { reason: "status_307", after: Some(after) } = send(&provider).await else {
        panic!("it is not parked");
    };
    assert!(after <= Duration::from_secs(30));
    assert_eq!(provider.condition.lock().episode, Some(Health::Misconfigured));
    let nobody =
        std::future::poll_fn(|cx| std::task::Poll::Ready(elsewhere.poll_accept(cx).is_pending())).await;
    assert!(nobody, "the redirect was followed");
}

#[tokio::test]
async fn an_episode_ends_with_the_first_message_that_gets_through() {
    let refusal = "HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n".to_owned();
    let provider = provider("http", answering(vec![refusal, OK.to_owned()]).await, LONG);
    send(&provider).await;
    assert!(provider.condition.lock().down_since.is_some());
    assert_eq!(send(&provider).await, Outcome::Completed { receipt: None });
    let condition = provider.condition.lock();
    assert!(condition.episode.is_none() && condition.down_since.is_none());
}

#[tokio::test]
async fn a_gateway_that_is_down_is_not_called_and_jobs_are_parked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let provider = provider("http", address, LONG);
    assert_eq!(provider.ready(1), Ok(()));
    let mut outcomes = Vec::new();
    for _ in 0..25 {
        outcomes.push(send(&provider).await);
    }
    assert_eq!(outcomes[0], Outcome::Retry { reason: "connect_failed", after: None });
    assert!(matches!(outcomes[24], Outcome::Snooze { reason: "breaker_open", .. }), "{outcomes:?}");
    assert!(provider.ready(1).unwrap_err() <= Duration::from_secs(2));
}

#[tokio::test]
async fn the_rate_limit_parks_jobs_and_turns_waiting_callers_away() {
    let address = answering(vec![OK.to_owned(); 2]).await;
    let config = HttpGatewayConfig { rate: NonZeroU32::new(1), ..config("http", address, LONG) };
    let provider = HttpGateway::new(Channel::Sms, &config, 4, LONG).unwrap();
    assert_eq!(provider.ready(1), Ok(()));
    assert!(provider.ready(1).is_err() && provider.ready(100).is_err());
    let (first, second) = tokio::join!(send(&provider), send(&provider));
    let parked = |outcome: &Outcome| matches!(outcome, Outcome::Snooze { reason: "rate_limited", .. });
    assert!(parked(&first) || parked(&second), "{first:?} {second:?}");
}

#[tokio::test]
async fn a_handshake_that_hangs_or_breaks_sent_nothing() {
    let (address, _hangs) = gateway(async |stream| {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let outcome = send(&provider("https", address, SOON)).await;
    assert_eq!(outcome, Outcome::Retry { reason: "connect_timeout", after: None });
    let (address, _breaks) = gateway(async |stream| drop(stream)).await;
    let outcome = send(&provider("https", address, LONG)).await;
    assert_eq!(outcome, Outcome::Retry { reason: "connect_failed", after: None });
}

#[tokio::test]
async fn a_gateway_that_closes_or_hangs_after_reading_may_have_sent() {
    let (address, _closes) = gateway(async |mut stream| {
        read_request(&mut stream).await;
    })
    .await;
    let outcome = send(&provider("http", address, LONG)).await;
    assert_eq!(outcome, Outcome::Unknown { reason: "connection_broken" });
    let (address, _hangs) = gateway(async |mut stream| {
        read_request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let outcome = send(&provider("http", address, SOON)).await;
    assert_eq!(outcome, Outcome::Unknown { reason: "timeout" });
}

#[tokio::test]
async fn whatever_the_answers_body_does_the_status_has_spoken() {
    let (address, _endless) = gateway(async |mut stream| {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    assert_eq!(send(&provider("http", address, LONG)).await, Outcome::Completed { receipt: None });
    let (address, _missing) = gateway(async |mut stream| {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(send(&provider("http", address, SOON)).await, Outcome::Completed { receipt: None });
}
