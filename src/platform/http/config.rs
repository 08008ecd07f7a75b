//! Settings of the HTTP listener.

use super::{Limits, Origin};
use crate::platform::{
    config::{List, Reader},
    tls::TlsConfig,
};
use std::{net::SocketAddr, time::Duration};

/// How much longer a stream is waited for than a handler: what took too long is still told so.
const ANSWERING: Duration = Duration::from_secs(1);

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

impl HttpConfig {
    /// Reads `http.*`; it listens on `address` if nothing else is said.
    pub fn read(reader: &mut Reader, address: &'static str) -> Self {
        let List(cors_origins) = reader.value(
            "http.cors_origins",
            "",
            "origins whose pages may call from a browser and read the answers (CORS), or *",
        );
        Self {
            listen: reader.value("http.listen", address, "address of the public HTTP API"),
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

    /// What the listener allows its connections.
    pub fn limits(&self) -> Limits {
        Limits {
            header_timeout: self.header_timeout,
            longest_step: self.header_timeout.max(self.body_timeout).max(self.handler_timeout) + ANSWERING,
            max_connections: self.max_connections,
        }
    }
}
