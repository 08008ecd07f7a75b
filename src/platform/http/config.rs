//! Settings of the HTTP listener, and those of TLS that all listeners share.

use super::Origin;
use crate::platform::config::{List, Reader};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// The public HTTP API's settings.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    pub listen: SocketAddr,
    /// From the connection's begin, or the end of the request before, to the end of the headers.
    pub header_timeout: Duration,
    /// For the whole request body.
    pub body_timeout: Duration,
    /// For the handler's answer.
    pub handler_timeout: Duration,
    /// Open at once; more wait in the backlog.
    pub max_connections: usize,
    /// Whose pages may call and read the answers; empty: nobody's.
    pub cors_origins: Vec<Origin>,
    pub tls: Option<TlsConfig>,
}

/// A listener's certificate chain and key, both PEM files.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

impl HttpConfig {
    /// Reads `http.*`.
    pub fn read(reader: &mut Reader) -> Self {
        let List(cors_origins) = reader.value(
            "http.cors_origins",
            "",
            "origins whose pages may call from a browser and read the answers (CORS), or *",
        );
        Self {
            listen: reader.value("http.listen", "127.0.0.1:8080", "address of the public HTTP API"),
            header_timeout: reader.value_in(
                "http.header_timeout",
                "10s",
                "10ms"..="10m",
                "how long the first bytes and the headers may take; then the connection is closed",
            ),
            body_timeout: reader.value_in(
                "http.body_timeout",
                "10s",
                "10ms"..="10m",
                "how long a request's body may take; then 408",
            ),
            handler_timeout: reader.value_in(
                "http.handler_timeout",
                "30s",
                "10ms"..="10m",
                "how long a handler may take; then 503",
            ),
            max_connections: reader.value_in(
                "http.max_connections",
                "20000",
                "1"..="1000000",
                "connections open at once; each takes an open file",
            ),
            cors_origins,
            tls: TlsConfig::read(reader, "http.tls.cert_file", "http.tls.key_file"),
        }
    }
}

impl TlsConfig {
    /// Reads a listener's two keys; one without the other is a fault.
    pub fn read(reader: &mut Reader, cert_key: &'static str, key_key: &'static str) -> Option<Self> {
        let cert_file = reader.optional(cert_key, "PEM file of the listener's certificate chain");
        let key_file = reader.optional(key_key, "PEM file of the certificate's private key");
        reader.not_built_yet(cert_key);
        reader.not_built_yet(key_key);
        match (cert_file, key_file) {
            (Some(cert_file), Some(key_file)) => return Some(Self { cert_file, key_file }),
            (Some(_), None) => {
                reader.fault(cert_key, format!("a certificate needs its key; set {key_key} too"))
            }
            (None, Some(_)) => {
                reader.fault(key_key, format!("a key needs its certificate; set {cert_key} too"))
            }
            (None, None) => {}
        }
        None
    }
}
