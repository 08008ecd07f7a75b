//! Certificates of tests' own, in files, and callers that take them and nothing else.

use epro_notify::platform::tls::{self, TlsConfig};
use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

/// A chain of one and its key, as PEM.
pub struct Certificate {
    pub chain: String,
    pub key: KeyPair,
}

impl Certificate {
    pub fn new() -> Self {
        Self::of(&rcgen::PKCS_ECDSA_P256_SHA256, 4000)
    }

    /// With this kind of key, valid until the end of that year.
    pub fn of(kind: &'static SignatureAlgorithm, until: i32) -> Self {
        let key = KeyPair::generate_for(kind).unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 12, 31);
        Self { chain: params.self_signed(&key).unwrap().pem(), key }
    }

    /// Writes both files, the certificate last.
    pub fn write(&self, files: &TlsConfig) {
        fs::write(&files.key_file, self.key.serialize_pem()).unwrap();
        fs::write(&files.cert_file, &self.chain).unwrap();
    }
}

/// Where a listener's two files are in this folder.
pub fn files(folder: &Path) -> TlsConfig {
    TlsConfig { cert_file: folder.join("cert.pem"), key_file: folder.join("key.pem") }
}

/// A file that holds this certificate alone, for who expects it.
pub fn expected(folder: &Path, certificate: &Certificate) -> PathBuf {
    let path = folder.join(format!("expected-{}.pem", certificate.chain.len()));
    fs::write(&path, &certificate.chain).unwrap();
    path
}

/// What a caller needs that speaks this.
pub fn client(cert_file: &Path, protocol: &str) -> ClientConfig {
    let mut client = tls::client(cert_file).unwrap();
    client.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    client
}

/// A blocking connection to a server with the certificate of this file.
pub fn connect(address: SocketAddr, cert_file: &Path) -> StreamOwned<ClientConnection, TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(super::http::LONG)).unwrap();
    let client = Arc::new(client(cert_file, "http/1.1"));
    StreamOwned::new(ClientConnection::new(client, "localhost".try_into().unwrap()).unwrap(), stream)
}

/// Sends a GET and reads the head of its answer; an error if TLS fails.
pub fn get(stream: &mut (impl Read + Write), path: &str) -> std::io::Result<String> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        answer.extend(byte);
    }
    let head = String::from_utf8_lossy(&answer).into_owned();
    let length = head
        .to_lowercase()
        .split("content-length: ")
        .nth(1)
        .map_or(0, |rest| rest.split("\r\n").next().and_then(|length| length.parse().ok()).unwrap_or(0));
    stream.read_exact(&mut vec![0; length])?;
    Ok(head)
}
