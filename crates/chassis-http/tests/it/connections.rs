//! Connections: slow and silent ones, too many of them, both protocols on one port, and their end.

use crate::support::{ALONE, Answer, LONG, SHORT, Server, config, metric, read_to_end, wide};
use chassis_http::{Keys, ServerConfig};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const REQUEST: &[u8] = b"GET /things/1 HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn timed_out() -> f64 {
    metric("http_connections_timed_out_total", &[])
}

#[tokio::test]
async fn slow_first_bytes_and_headers_are_closed_and_counted_without_an_answer() {
    let _alone = ALONE.lock().await;
    for begun in ["", "P", "PRI * HTTP/2.0\r\n", "GET /things/1 HT", "GET /things/1 HTTP/1.1\r\nHos"] {
        let server = Server::start().await;
        let before = timed_out();
        let mut stream = server.connect().await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        assert_eq!(read_to_end(&mut stream).await, b"", "{begun:?}");
        server.stop().await;
        assert_eq!(timed_out() - before, 1.0, "{begun:?}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_but_not_counted() {
    let _alone = ALONE.lock().await;
    let server = Server::start().await;
    let before = timed_out();
    let mut stream = server.connect().await;
    stream.write_all(REQUEST).await.unwrap();
    assert_eq!(Answer::parse(&read_to_end(&mut stream).await).status, 200);
    server.stop().await;
    assert_eq!(timed_out(), before);
}

#[tokio::test]
async fn a_caller_slow_with_its_second_request_is_counted() {
    let _alone = ALONE.lock().await;
    let server = Server::start().await;
    let before = timed_out();
    let mut stream = server.connect().await;
    stream.write_all(REQUEST).await.unwrap();
    let mut buf = [0; 1024];
    timeout(LONG, stream.read(&mut buf)).await.unwrap().unwrap();
    stream.write_all(b"GET /thi").await.unwrap();
    read_to_end(&mut stream).await;
    server.stop().await;
    assert_eq!(timed_out() - before, 1.0);
}

#[tokio::test]
async fn a_connection_beyond_the_most_waits_for_one_to_close() {
    let config = ServerConfig { max_connections: 1, header_timeout: LONG, ..config() };
    let server = Server::with(config, Keys::open(), wide()).await;
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
async fn an_answer_that_nobody_takes_is_given_up() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    let requests = "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1000);
    let flooded = async { while stream.write_all(requests.as_bytes()).await.is_ok() {} };
    timeout(LONG, flooded).await.expect("it waits for ever");
    server.stop().await;
}

#[tokio::test]
async fn http_2_is_served_with_prior_knowledge_and_closed_when_it_idles() {
    let server = Server::start().await;
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let url = format!("http://{}/things/1", server.address);
    let answer = client.get(&url).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
    // A request that takes longer than a connection may idle.
    let waiting = tokio::spawn(client.get(format!("http://{}/slow", server.address)).send());
    assert_eq!(waiting.await.unwrap().unwrap().status(), 503);
    for _ in 0..4 {
        tokio::time::sleep(SHORT / 2).await;
        assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
    }
    server.stop().await;
    drop(client);
}

/// A connection of HTTP/2 by hand: settings and one request for `/things/1`.
async fn http_2(server: &Server, window: u32) -> TcpStream {
    let mut stream = server.connect().await;
    let settings = [&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4][..], &window.to_be_bytes()].concat();
    // :method GET, :scheme http, :path and :authority as literals.
    let path = b"/things/1";
    let block = [&[0x82, 0x86, 0x44, path.len() as u8][..], path, &[0x41, 9], b"localhost"].concat();
    let head = [0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1];
    let all = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..], &head, &block].concat();
    stream.write_all(&all).await.unwrap();
    stream
}

#[tokio::test]
async fn http_2_that_asks_for_nothing_more_or_has_no_window_is_closed() {
    let server = Server::start().await;
    for window in [65_535, 0] {
        let mut stream = http_2(&server, window).await;
        let begun = Instant::now();
        let frames = timeout(LONG, async {
            let mut all = Vec::new();
            // It may be reset, since it does not answer.
            let _ = stream.read_to_end(&mut all).await;
            all
        });
        let frames = frames.await.unwrap();
        assert!(begun.elapsed() >= SHORT, "{window}");
        let has_body = frames.windows(7).any(|part| part == b"a thing");
        assert_eq!(has_body, window > 0);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_request_in_flight_is_answered_and_then_its_connection_closed() {
    let server = Server::with(ServerConfig { handler_timeout: LONG, ..config() }, Keys::open(), wide()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    timeout(LONG, server.meeting.begun.notified()).await.unwrap();
    server.stop.cancel();
    tokio::task::yield_now().await;
    assert!(!server.served.is_finished());
    server.meeting.go_on.add_permits(1);
    let answer = Answer::parse(&read_to_end(&mut stream).await);
    assert_eq!((answer.status, answer.body.as_str()), (200, "waited"));
    let address = server.address;
    server.stop().await;
    assert!(TcpStream::connect(address).await.is_err(), "something new is accepted");
}

#[tokio::test]
async fn idle_connections_are_closed_at_the_stop_whether_they_were_used_or_not() {
    let config = ServerConfig { header_timeout: LONG * 10, ..config() };
    let server = Server::with(config, Keys::open(), wide()).await;
    let (mut unused, mut used) = (server.connect().await, server.connect().await);
    used.write_all(REQUEST).await.unwrap();
    let mut buf = [0; 1024];
    timeout(LONG, used.read(&mut buf)).await.unwrap().unwrap();
    server.stop().await;
    assert_eq!(read_to_end(&mut used).await, b"");
    assert_eq!(read_to_end(&mut unused).await, b"");
}
