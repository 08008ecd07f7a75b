//! How an endpoint is connected to: time-outs, keep-alive, TLS.

use crate::{Target, TlsConfig};
use std::time::Duration;
use tonic::transport::{self, Certificate, ClientTlsConfig, Endpoint};

/// For a TCP connection. With a probe's time-out this is below the second within which traffic leaves a dead
/// endpoint.
const CONNECT: Duration = Duration::from_millis(500);
/// A connection that has been silent for this long is pinged. Probes keep a working one from being silent, so no
/// server counts the pings as abuse.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(crate) struct Connector {
    tls: Option<ClientTlsConfig>,
}

impl Connector {
    /// Certificates are checked for the configured name, else for the DNS name of the target, else for the
    /// endpoint's own host.
    pub fn new(config: &TlsConfig, target: &Target) -> Self {
        let host = match target {
            Target::Dns { name, .. } => Some(name.trim_end_matches('.')),
            Target::Static(_) | Target::Etcd { .. } => None,
        };
        let tls = config.enabled.then(|| {
            let tls = ClientTlsConfig::new();
            let tls = match &config.ca_file {
                Some(ca) => tls.ca_certificate(Certificate::from_pem(ca.pem())),
                None => tls.with_native_roots(),
            };
            match config.server_name.as_deref().or(host) {
                Some(name) => tls.domain_name(name),
                None => tls,
            }
        });
        Self { tls }
    }

    /// A channel to `address` (`host:port`) that connects with its first call, and again after a connection
    /// broke or was closed by the server.
    ///
    /// # Errors
    /// The address is not valid, or the authorities can't be used.
    pub fn channel(&self, address: &str) -> Result<transport::Channel, transport::Error> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let endpoint = match &self.tls {
            Some(tls) => endpoint.tls_config(tls.clone())?,
            None => endpoint,
        };
        Ok(endpoint.connect_lazy())
    }
}
