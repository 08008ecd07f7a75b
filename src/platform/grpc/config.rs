//! Settings of the gRPC listener.

use super::register::RegisterConfig;
use crate::platform::{config::Reader, http::HttpConfig, tls::TlsConfig};
use std::{net::SocketAddr, time::Duration};

/// The gRPC listener's settings. What a connection and a call may take is what HTTP allows.
#[derive(Clone, Debug)]
pub struct GrpcConfig {
    pub listen: SocketAddr,
    pub tls: Option<TlsConfig>,
    /// Where it tells that it is there, if anywhere.
    pub register: Option<RegisterConfig>,
    /// For the whole request message.
    pub body_timeout: Duration,
    /// For the whole answer, where the caller asks for nothing shorter.
    pub handler_timeout: Duration,
    /// After which the listener gives up a stream that made no step.
    pub longest_step: Duration,
}

impl GrpcConfig {
    /// Reads `grpc.*`.
    pub fn read(reader: &mut Reader, http: &HttpConfig) -> Self {
        let listen = reader.value("grpc.listen", "127.0.0.1:50051", "address of gRPC");
        Self {
            listen,
            tls: TlsConfig::read(reader, "grpc.tls.cert_file", "grpc.tls.key_file"),
            register: RegisterConfig::read(reader, listen),
            body_timeout: http.body_timeout,
            handler_timeout: http.handler_timeout,
            longest_step: http.limits().longest_step,
        }
    }
}
