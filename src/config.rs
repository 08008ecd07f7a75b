//! The whole configuration, and what only holds between several concerns.

use crate::{
    notify::config::NotifyConfig,
    platform::{
        admin::config::AdminConfig,
        auth::config::AuthConfig,
        config::{Faults, Reader, Sources},
        grpc::config::GrpcConfig,
        http::config::HttpConfig,
        limits::config::LimitsConfig,
        queue::config::QueueConfig,
        shutdown::config::ShutdownConfig,
        store::config::StoreConfig,
    },
};
use std::net::SocketAddr;

/// The service's configuration, valid as a whole.
#[derive(Clone, Debug)]
pub struct Config {
    pub http: HttpConfig,
    pub grpc: GrpcConfig,
    pub admin: AdminConfig,
    pub store: StoreConfig,
    pub queue: QueueConfig,
    pub notify: NotifyConfig,
    pub limits: LimitsConfig,
    pub auth: AuthConfig,
    pub shutdown: ShutdownConfig,
    /// Keys that were set though nothing obeys them yet: named once at start.
    pub unbuilt: Vec<&'static str>,
}

impl Config {
    /// Reads the configuration, and gives it as a commented TOML document as well, without secrets.
    ///
    /// # Errors
    /// Every fault of every source at once.
    pub fn load(sources: Sources) -> Result<(Self, String), Faults> {
        let mut reader = Reader::new(sources);
        let config = Self::read(&mut reader);
        reader.finish().map(|document| (config, document))
    }

    /// Reads every key; faults stay in the reader.
    pub fn read(reader: &mut Reader) -> Self {
        let http = HttpConfig::read(reader);
        let mut config = Self {
            grpc: GrpcConfig::read(reader),
            admin: AdminConfig::read(reader),
            store: StoreConfig::read(reader),
            queue: QueueConfig::read(reader),
            notify: NotifyConfig::read(reader, http.handler_timeout),
            limits: LimitsConfig::read(reader),
            auth: AuthConfig::read(reader),
            shutdown: ShutdownConfig::read(reader),
            http,
            unbuilt: Vec::new(),
        };
        config.check_listeners(reader);
        config.unbuilt = reader.unbuilt();
        config
    }

    fn check_listeners(&self, reader: &mut Reader) {
        let (http, grpc, admin) = (self.http.listen, self.grpc.listen, self.admin.listen);
        let pairs = [
            ("grpc.listen", grpc, "http.listen", http),
            ("admin.listen", admin, "http.listen", http),
            ("admin.listen", admin, "grpc.listen", grpc),
        ];
        for (key, address, other_key, other) in pairs {
            if collide(address, other) {
                reader.fault(key, format!("is the address of {other_key} too; give each a port of its own"));
            }
        }
        for (key, address) in [("http.listen", http), ("grpc.listen", grpc)] {
            if !is_loopback(address) {
                let fault =
                    "must be a loopback address: others need API keys, and checking them is not built yet";
                reader.fault(key, fault.to_owned());
            }
        }
    }
}

/// Whether both can't be bound at once. A dual-stack `[::]` takes the port of IPv4 as well.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let overlap = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && overlap
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
