//! Settings of the admin listener.

use crate::platform::{config::Reader, tls::TlsConfig};
use std::net::SocketAddr;

/// The admin listener's settings.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// On a non-loopback address it is for reading alone.
    pub listen: SocketAddr,
    pub tls: Option<TlsConfig>,
}

impl AdminConfig {
    /// Reads `admin.*`.
    pub fn read(reader: &mut Reader) -> Self {
        Self {
            listen: reader.value(
                "admin.listen",
                "127.0.0.1:9464",
                "address of metrics, health and log filter",
            ),
            tls: TlsConfig::read(reader, "admin.tls.cert_file", "admin.tls.key_file"),
        }
    }
}
