//! TLS on a listener: protocols, callers that don't speak it, and a new certificate.

use crate::support::{ALONE, LONG, Server, config, metric, read_to_end, wide};
use chassis_http::{Keys, ServerConfig, TlsConfig};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

fn files(folder: &Path) -> TlsConfig {
    TlsConfig { cert_file: Some(folder.join("cert.pem")), key_file: Some(folder.join("key.pem")) }
}

fn write(files: &TlsConfig) -> CertifiedKey<rcgen::KeyPair> {
    let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(files.cert_file.as_ref().unwrap(), made.cert.pem()).unwrap();
    fs::write(files.key_file.as_ref().unwrap(), made.signing_key.serialize_pem()).unwrap();
    made
}

async fn connect(
    server: &Server,
    trusted: &CertifiedKey<rcgen::KeyPair>,
    protocol: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut client = builder.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(client)).connect(name, server.connect().await).await
}

async fn serves(stream: &mut TlsStream<TcpStream>) -> bool {
    let sent = stream.write_all(b"GET /things/1 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut answer = [0; 12];
    sent.is_ok() && stream.read_exact(&mut answer).await.is_ok() && &answer == b"HTTP/1.1 200"
}

#[tokio::test]
async fn a_protocol_other_than_http_is_refused_and_callers_without_tls_are_counted() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let certificate = write(&files);
    let server = Server::with(ServerConfig { tls: files, ..config() }, Keys::open(), wide()).await;
    let (failed, timed_out) = (
        || metric("tls_handshakes_failed_total", &["listener=\"http\""]),
        || metric("http_connections_timed_out_total", &[]),
    );
    let before = (failed(), timed_out());
    let h2 = connect(&server, &certificate, "h2").await.unwrap();
    assert_eq!(h2.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert!(connect(&server, &certificate, "smtp").await.is_err());
    drop(h2);
    // A balancer's probe.
    drop(server.connect().await);
    let (mut silent, mut slow) = (server.connect().await, server.connect().await);
    slow.write_all(b"\x16\x03\x01\x02").await.unwrap();
    let mut plain = server.connect().await;
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    // While they all wait.
    let mut stream = connect(&server, &certificate, "http/1.1").await.unwrap();
    assert!(serves(&mut stream).await);
    assert!(!read_to_end(&mut plain).await.starts_with(b"HTTP"));
    assert_eq!((read_to_end(&mut silent).await, read_to_end(&mut slow).await), (vec![], vec![]));
    drop(stream);
    server.stop().await;
    assert_eq!((failed() - before.0, timed_out() - before.1), (2.0, 2.0));
}

#[tokio::test]
async fn a_new_certificate_is_served_without_a_connection_lost_and_a_broken_one_is_not() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let old = write(&files);
    let config = ServerConfig { header_timeout: LONG, tls: files.clone(), ..config() };
    let server = Server::with(config, Keys::open(), wide()).await;
    let reloads = |outcome: &str| metric("tls_certificate_reloads_total", &["listener=\"http\"", outcome]);
    let until_reloaded = async |outcome: &str, count: f64| {
        let begun = Instant::now();
        while reloads(outcome) < count {
            assert!(begun.elapsed() < LONG, "it is not read again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut kept = connect(&server, &old, "http/1.1").await.unwrap();
    assert!(serves(&mut kept).await);
    let before = reloads("ok");
    let new = write(&files);
    until_reloaded("ok", before + 1.0).await;
    assert!(connect(&server, &new, "http/1.1").await.is_ok());
    assert!(connect(&server, &old, "http/1.1").await.is_err());
    let before = reloads("failed");
    fs::write(files.key_file.as_ref().unwrap(), old.signing_key.serialize_pem()).unwrap();
    assert!(files.check_files().unwrap_err().to_string().contains("is not the key of the certificate in"));
    until_reloaded("failed", before + 1.0).await;
    assert!(connect(&server, &new, "http/1.1").await.is_ok());
    drop(kept);
    server.stop().await;
}

#[test]
fn what_is_wrong_with_a_file_is_said_without_a_word_of_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let made = write(&files);
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    assert_eq!(files.check_files(), Ok(()));
    let cut = key.lines().take(2).collect::<Vec<_>>().join("\n");
    for (cert, key_text, fault) in [
        ("", &*key, "holds no certificate"),
        (&*chain.replacen("MII", "MIA", 1), &*key, "holds a damaged certificate"),
        ("-----BEGIN CERTIFICATE-----\nMIIB", &*key, "is cut off"),
        (&*chain, "", "holds no private key"),
        (&*chain, &*key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), "holds an encrypted key"),
        (&*chain, &*cut, "is cut off"),
        (
            &*chain,
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            "is damaged or not supported",
        ),
    ] {
        fs::write(files.cert_file.as_ref().unwrap(), cert).unwrap();
        fs::write(files.key_file.as_ref().unwrap(), key_text).unwrap();
        let said = files.check_files().unwrap_err().to_string();
        assert!(said.contains(fault), "{fault}: {said}");
        key.lines().filter(|line| !line.starts_with("--")).for_each(|line| assert!(!said.contains(line)));
    }
}
