//! The end of a listener: what is in hand is answered, what idles is closed, nothing new begins.

use crate::support::http::{Answer, LONG, Server, config, read_to_end};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

#[tokio::test]
async fn a_request_in_flight_is_answered_and_then_its_connection_closed() {
    let mut config = config();
    config.handler_timeout = LONG;
    let server = Server::start(config).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /wait HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    timeout(LONG, server.meeting.begun.notified()).await.unwrap();
    server.stop.cancel();
    tokio::task::yield_now().await;
    assert!(!server.served.is_finished());
    server.meeting.go_on.0.add_permits(1);
    let answer = Answer::parse(&read_to_end(&mut stream).await);
    assert_eq!((answer.status, answer.body.as_str()), (200, "waited"));
    server.stop().await;
}

#[tokio::test]
async fn idle_connections_are_closed_at_once_whether_they_were_used_or_not() {
    let mut config = config();
    config.header_timeout = LONG * 10;
    let server = Server::start(config).await;
    let mut unused = server.connect().await;
    let mut used = server.connect().await;
    used.write_all(b"GET /things/1 HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    let mut buf = [0; 1024];
    timeout(LONG, used.read(&mut buf)).await.unwrap().unwrap();
    server.stop().await;
    assert_eq!(read_to_end(&mut used).await, b"");
    assert_eq!(read_to_end(&mut unused).await, b"");
}

#[tokio::test]
async fn nothing_new_is_accepted() {
    let server = Server::start(config()).await;
    let address = server.address;
    server.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}
