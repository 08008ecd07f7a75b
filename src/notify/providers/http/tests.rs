//! The provider against gateways on real sockets that break at chosen moments.

use super::*;
use crate::notify::model::{Phone, Platform, PushToken};
use std::{future::Future, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// For gateways that must be given up on.
const SOON: Duration = Duration::from_millis(300);
/// For the others: far more than they need.
const LONG: Duration = Duration::from_secs(30);

fn sms() -> Payload {
    Payload::Sms {
        patient: "p-1".parse().unwrap(),
        message: "Your \"visit\" is tomorrow 😀".parse().unwrap(),
    }
}

fn push() -> Payload {
    let device = Some(PushToken::new(Platform::Fcm, "token-1").unwrap());
    let (title, message) = ("Visit".parse().unwrap(), "Tomorrow".parse().unwrap());
    Payload::Push { patient: "p-1".parse().unwrap(), title, message, device }
}

fn provider(scheme: &str, address: SocketAddr, timeout: Duration) -> Http {
    let url = format!("{scheme}://{address}/v1/send?key=canary").parse().unwrap();
    Http::new(url, timeout, 4, Guard::new("sms", timeout)).unwrap()
}

async fn send(provider: &Http, payload: &Payload) -> Outcome {
    let phone: Phone = "+4930901820".parse().unwrap();
    let id = "0000000000001".parse().unwrap();
    provider.send(&Letter { id, payload, phone: Some(&phone) }).await
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
    let served = crate::platform::task::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream).await
    });
    (address, served)
}

/// Reads one request to its end: its head, and its body.
async fn read_request(stream: &mut TcpStream) -> (String, serde_json::Value) {
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

/// What becomes of a job when the gateway answers with this.
async fn answered(answer: &'static str) -> Outcome {
    let (address, served) = gateway(async move |mut stream| {
        read_request(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    })
    .await;
    let outcome = send(&provider("http", address, LONG), &sms()).await;
    served.await.unwrap();
    outcome
}

#[tokio::test]
async fn the_request_is_the_contracts() {
    for (payload, expected) in [
        (
            sms(),
            json!({ "id": "0000000000001", "to": "+4930901820", "text": "Your \"visit\" is tomorrow 😀" }),
        ),
        (
            push(),
            json!({ "id": "0000000000001", "platform": "fcm", "token": "token-1", "title": "Visit", "text": "Tomorrow" }),
        ),
    ] {
        let (address, served) = gateway(async |mut stream| {
            let request = read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            request
        })
        .await;
        assert_eq!(send(&provider("http", address, LONG), &payload).await, Outcome::Delivered);
        let (head, body) = served.await.unwrap();
        assert_eq!(body, expected);
        assert!(head.starts_with("POST /v1/send?key=canary HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nidempotency-key: 0000000000001\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-type: application/json\r\n"), "{head}");
    }
}

#[tokio::test]
async fn statuses_mean_what_the_contract_says() {
    let delivered = answered("HTTP/1.1 202 Accepted\r\ncontent-length: 3\r\n\r\n{}}").await;
    assert_eq!(delivered, Outcome::Delivered, "any body is tolerated");
    assert_eq!(answered("HTTP/1.1 204 No Content\r\n\r\n").await, Outcome::Delivered);
    let limited =
        answered("HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(limited, Outcome::Parked { reason: "status_429", after: Some(Duration::from_secs(7)) });
    let broken = answered("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(broken, Outcome::Retry { reason: "status_500", after: None });
    let slow = answered("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(slow, Outcome::Retry { reason: "status_408", after: None });
    let unknown = answered("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(unknown, Outcome::Dead { reason: "status_404" });
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = elsewhere.local_addr().unwrap();
    let (address, served) = gateway(async move |mut stream| {
        read_request(&mut stream).await;
        let answer =
            format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{to}/\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    assert_eq!(send(&provider("http", address, LONG), &sms()).await, Outcome::Dead { reason: "status_3xx" });
    served.await.unwrap();
    let nobody =
        std::future::poll_fn(|cx| std::task::Poll::Ready(elsewhere.poll_accept(cx).is_pending())).await;
    assert!(nobody, "the redirect was followed");
}

#[tokio::test]
async fn a_refused_connection_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let outcome = send(&provider("http", address, LONG), &sms()).await;
    assert_eq!(outcome, Outcome::Retry { reason: "connect_failed", after: None });
}

#[tokio::test]
async fn a_handshake_that_hangs_or_breaks_sent_nothing() {
    let (address, _hangs) = gateway(async |stream| {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let outcome = send(&provider("https", address, SOON), &sms()).await;
    assert_eq!(outcome, Outcome::Retry { reason: "connect_timeout", after: None });
    let (address, _breaks) = gateway(async |stream| drop(stream)).await;
    let outcome = send(&provider("https", address, LONG), &sms()).await;
    assert_eq!(outcome, Outcome::Retry { reason: "connect_failed", after: None });
}

#[tokio::test]
async fn a_gateway_that_closes_after_reading_may_have_sent() {
    let (address, _served) = gateway(async |mut stream| {
        read_request(&mut stream).await;
    })
    .await;
    let outcome = send(&provider("http", address, LONG), &sms()).await;
    assert_eq!(outcome, Outcome::Unknown { reason: "connection_broken" });
}

#[tokio::test]
async fn a_connection_reset_at_its_begin_is_never_final() {
    let (address, _served) = gateway(async |stream| {
        stream.set_zero_linger().unwrap();
        drop(stream);
    })
    .await;
    // Whether the request had been written by then is the kernel's secret; either way it is told.
    let outcome = send(&provider("http", address, LONG), &sms()).await;
    assert!(matches!(outcome, Outcome::Unknown { .. } | Outcome::Retry { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_gateway_that_hangs_after_reading_may_have_sent() {
    let (address, _served) = gateway(async |mut stream| {
        read_request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let outcome = send(&provider("http", address, SOON), &sms()).await;
    assert_eq!(outcome, Outcome::Unknown { reason: "timeout" });
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let (address, served) = gateway(async |mut stream| {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    assert_eq!(send(&provider("http", address, LONG), &sms()).await, Outcome::Delivered);
    served.await.unwrap();
}

#[tokio::test]
async fn a_body_that_never_comes_does_not_undo_the_status() {
    let (address, _served) = gateway(async |mut stream| {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(send(&provider("http", address, SOON), &sms()).await, Outcome::Delivered);
}

#[tokio::test]
async fn one_connection_serves_one_attempt_after_the_other() {
    let (address, served) = gateway(async |mut stream| {
        for _ in 0..2 {
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        }
    })
    .await;
    let provider = provider("http", address, LONG);
    assert_eq!(send(&provider, &sms()).await, Outcome::Delivered);
    assert_eq!(send(&provider, &push()).await, Outcome::Delivered);
    served.await.unwrap();
}

#[tokio::test]
async fn without_an_address_nothing_is_sent() {
    let letter = Letter { id: "0000000000001".parse().unwrap(), payload: &sms(), phone: None };
    let outcome = provider("http", "127.0.0.1:9".parse().unwrap(), LONG).send(&letter).await;
    assert_eq!(outcome, Outcome::Dead { reason: "no_contact" });
}
