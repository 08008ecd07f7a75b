//! Settings of the gRPC listener.

use crate::platform::{config::Reader, tls::TlsConfig};
use std::net::SocketAddr;

/// The gRPC listener's settings.
#[derive(Clone, Debug)]
pub struct GrpcConfig {
    pub listen: SocketAddr,
    pub tls: Option<TlsConfig>,
}

impl GrpcConfig {
    /// Reads `grpc.*`.
    pub fn read(reader: &mut Reader) -> Self {
        let config = Self {
            listen: reader.value("grpc.listen", "127.0.0.1:50051", "address of gRPC"),
            tls: TlsConfig::read(reader, "grpc.tls.cert_file", "grpc.tls.key_file"),
        };
        reader.not_built_yet("grpc.");
        config
    }
}
