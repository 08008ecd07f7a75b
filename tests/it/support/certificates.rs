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

/// A file of this name that holds the certificate alone, for who expects it.
pub fn expected(folder: &Path, name: &str, certificate: &Certificate) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, &certificate.chain).unwrap();
    path
}

/// A key as it was written before PKCS#8, which holds that as its last part.
pub fn old_form(key: &KeyPair, title: &str) -> String {
    let der = key.serialize_der();
    // SEQUENCE { INTEGER 0, SEQUENCE { algorithm }, OCTET STRING { what is wanted } }
    let (whole, _) = element(&der);
    let (_, rest) = element(whole);
    let (_, rest) = element(rest);
    let (inner, _) = element(rest);
    format!("-----BEGIN {title}-----\n{}\n-----END {title}-----\n", base64(inner))
}

/// The content of the first DER element, and what follows it.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, begin) = match der[1] {
        short @ 0..=0x7f => (usize::from(short), 2),
        long => {
            let begin = 2 + usize::from(long & 0x7f);
            (der[2..begin].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), begin)
        }
    };
    der[begin..].split_at(length)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = (0..3).fold(0, |bits, nth| bits << 8 | usize::from(*three.get(nth).unwrap_or(&0)));
        let digit = |nth: usize| match nth <= three.len() {
            true => char::from(DIGITS[bits >> (18 - 6 * nth) & 63]),
            false => '=',
        };
        String::from_iter([0, 1, 2, 3].map(digit))
    };
    bytes.chunks(3).map(group).collect()
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
