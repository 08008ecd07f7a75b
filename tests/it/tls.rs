//! TLS on a listener: versions, protocols, keys, and callers that don't speak it.

use crate::support::{
    certificates::{Certificate, client, files},
    http::{LONG, Server, config, read_to_end},
    seen::Seen,
};
use epro_notify::platform::{http::HttpConfig, tls::TlsConfig};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ProtocolVersion, pki_types::ServerName},
};

const FAILED: &str = "tls_handshakes_failed_total";
const TIMED_OUT: &str = "http_connections_timed_out_total";

fn encrypted(folder: &TempDir) -> (HttpConfig, TlsConfig) {
    let files = files(folder.path());
    Certificate::new().write(&files);
    (HttpConfig { tls: Some(files.clone()), ..config() }, files)
}

async fn connect(
    server: &Server,
    files: &TlsConfig,
    protocol: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(Arc::new(client(&files.cert_file, protocol)));
    connector.connect(ServerName::try_from("localhost").unwrap(), server.connect().await).await
}

#[tokio::test]
async fn http_1_and_http_2_are_spoken_over_tls_and_told_as_https() {
    let (seen, folder) = (Seen::begin(), tempfile::tempdir().unwrap());
    let (config, files) = encrypted(&folder);
    let server = Server::start(config).await;
    for (protocol, version) in [("http/1.1", http::Version::HTTP_11), ("h2", http::Version::HTTP_2)] {
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(client(&files.cert_file, protocol))
            .build()
            .unwrap();
        let answer = client.get(format!("https://{}/things/1", server.address)).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
    }
    server.stop().await;
    assert!(seen.spans().len() == 2 && seen.spans().iter().all(|span| span["url.scheme"] == "https"));
}

#[tokio::test]
async fn tls_1_3_is_preferred_and_another_protocol_than_http_is_refused() {
    let (seen, folder) = (Seen::begin(), tempfile::tempdir().unwrap());
    let (config, files) = encrypted(&folder);
    let server = Server::start(config).await;
    let stream = connect(&server, &files, "h2").await.unwrap();
    assert_eq!(stream.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert!(connect(&server, &files, "smtp").await.is_err());
    drop(stream);
    server.stop().await;
    assert_eq!(seen.metric(FAILED, &["http"]), 1.0);
}

#[tokio::test]
async fn callers_without_tls_are_counted_and_hold_up_nobody() {
    let (seen, folder) = (Seen::begin(), tempfile::tempdir().unwrap());
    let (config, files) = encrypted(&folder);
    let server = Server::start(config).await;
    // A balancer's probe.
    drop(server.connect().await);
    let (mut silent, mut slow) = (server.connect().await, server.connect().await);
    slow.write_all(b"\x16\x03\x01\x02").await.unwrap();
    let mut plain = server.connect().await;
    plain.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    // While they all wait.
    let mut stream = connect(&server, &files, "http/1.1").await.unwrap();
    stream.write_all(b"GET /things/1 HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    timeout(LONG, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert!(!read_to_end(&mut plain).await.starts_with(b"HTTP"));
    assert_eq!((read_to_end(&mut silent).await, read_to_end(&mut slow).await), (vec![], vec![]));
    drop(stream);
    server.stop().await;
    assert_eq!((seen.metric(FAILED, &["http"]), seen.metric(TIMED_OUT, &[])), (1.0, 2.0));
}

#[tokio::test]
async fn an_encrypted_answer_that_nobody_takes_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let (config, files) = encrypted(&folder);
    let server = Server::start(config).await;
    let mut stream = connect(&server, &files, "http/1.1").await.unwrap();
    // Requests are sent until nothing more is taken, and no answer is read.
    let requests = "GET /things/1 HTTP/1.1\r\nHost: test\r\n\r\n".repeat(1000);
    let flooded = async { while stream.write_all(requests.as_bytes()).await.is_ok() {} };
    timeout(LONG, flooded).await.expect("it waits for ever");
    server.stop().await;
}
