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
    /// Reads `admin.*`; it listens on `address` if nothing else is said.
    pub fn read(reader: &mut Reader, address: &'static str) -> Self {
        Self {
            listen: reader.value("admin.listen", address, "address of metrics, health and log filter"),
            tls: TlsConfig::read(reader, "admin.tls.cert_file", "admin.tls.key_file"),
        }
    }
}
