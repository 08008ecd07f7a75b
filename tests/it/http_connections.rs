//! Connections: slow and silent ones, too many of them, and both protocols on one port.

use crate::support::{
    http::{Answer, LONG, Server, config, read_to_end},
    process::{Process, ask},
    seen::Seen,
};
use std::time::Duration;
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, time::timeout};

const TIMED_OUT: &str = "http_connections_timed_out_total";
const REQUEST: &[u8] = b"GET /things/1 HTTP/1.1\r\nHost: test\r\n\r\n";

#[tokio::test]
async fn slow_first_bytes_and_headers_are_closed_and_counted_without_an_answer() {
    for begun in ["", "P", "PRI * HTTP/2.0\r\n", "GET /things/1 HT", "GET /things/1 HTTP/1.1\r\nHos"] {
        let seen = Seen::begin();
        let server = Server::start(config()).await;
        let mut stream = server.connect().await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        assert_eq!(read_to_end(&mut stream).await, b"", "{begun:?}");
        server.stop().await;
        assert_eq!(seen.metric(TIMED_OUT, &[]), 1.0, "{begun:?}");
        assert!(seen.lines().is_empty(), "{begun:?}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_but_not_counted() {
    let seen = Seen::begin();
    let server = Server::start(config()).await;
    let mut stream = server.connect().await;
    stream.write_all(REQUEST).await.unwrap();
    assert_eq!(Answer::parse(&read_to_end(&mut stream).await).status, 200);
    server.stop().await;
    assert_eq!(seen.metric(TIMED_OUT, &[]), 0.0);
}

#[tokio::test]
async fn a_caller_slow_with_its_second_request_is_counted() {
    let seen = Seen::begin();
    let server = Server::start(config()).await;
    let mut stream = server.connect().await;
    stream.write_all(REQUEST).await.unwrap();
    let mut buf = [0; 1024];
    timeout(LONG, stream.read(&mut buf)).await.unwrap().unwrap();
    stream.write_all(b"GET /thi").await.unwrap();
    read_to_end(&mut stream).await;
    server.stop().await;
    assert_eq!(seen.metric(TIMED_OUT, &[]), 1.0);
}

#[tokio::test]
async fn a_connection_beyond_the_most_waits_for_one_to_close() {
    let mut config = config();
    (config.max_connections, config.header_timeout) = (1, LONG);
    let server = Server::start(config).await;
    let first = server.connect().await;
    let mut second = server.connect().await;
    second.write_all(REQUEST).await.unwrap();
    let mut byte = [0];
    let early = timeout(Duration::from_millis(100), second.read(&mut byte)).await;
    assert!(early.is_err(), "it was served beside the first");
    drop(first);
    assert_eq!(timeout(LONG, second.read(&mut byte)).await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn http_2_is_served_with_prior_knowledge() {
    let seen = Seen::begin();
    let server = Server::start(config()).await;
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let answer = client.get(format!("http://{}/things/1", server.address)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
    drop((answer, client));
    server.stop().await;
    assert_eq!(seen.spans()[0]["network.protocol.version"], "2");
}

#[test]
fn running_out_of_files_is_survived_and_told() {
    let mut process = Process::start_with_files(64);
    let held: Vec<_> = (0..100).map(|_| std::net::TcpStream::connect(process.http).unwrap()).collect();
    process.await_line("cannot accept");
    drop(held);
    assert_eq!(ask(process.http, "/nowhere").unwrap().status, 404);
    assert_eq!(ask(process.admin, "/livez").unwrap().status, 200);
}
