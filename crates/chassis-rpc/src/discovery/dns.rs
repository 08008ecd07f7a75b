//! The addresses of a DNS name, looked up again as often as the time to live of its records says.

use crate::{Address, Found};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
};
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// However short the time to live, so that no name server is flooded.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// However long it is: an endpoint that has moved is found within this. A dead one is out long before.
const INTERVAL_MAX: Duration = Duration::from_secs(30);
/// For one question to one name server.
const TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) struct Dns {
    resolver: TokioResolver,
    name: String,
    port: u16,
}

impl Dns {
    /// Asks `server`, or as the system's settings say, with their search domains and hosts file.
    pub fn new(name: String, port: u16, server: Option<SocketAddr>) -> Result<Self, NetError> {
        let mut builder = match server {
            Some(server) => TokioResolver::builder_with_config(only(server), TokioRuntimeProvider::default()),
            None => TokioResolver::builder_tokio()?,
        };
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.timeout = TIMEOUT;
        // We ask when records have expired, not before.
        options.cache_size = 0;
        Ok(Self { resolver: builder.build()?, name, port })
    }

    /// An answer without an address counts as a failure: whether the known endpoints are still there is found
    /// out by their probes.
    pub async fn follow(self, mut found: Found) {
        loop {
            let pause = match self.resolver.lookup_ip(self.name.as_str()).await {
                Ok(answer) if answer.iter().next().is_some() => {
                    let address = |ip| Address::from(SocketAddr::new(ip, self.port));
                    found.endpoints(answer.iter().map(address).collect::<BTreeSet<_>>());
                    answer
                        .valid_until()
                        .saturating_duration_since(Instant::now())
                        .clamp(INTERVAL_MIN, INTERVAL_MAX)
                }
                Ok(_) => {
                    found.failed("the name has no address");
                    INTERVAL_MIN
                }
                Err(_) => {
                    found.failed("the name is not found");
                    INTERVAL_MIN
                }
            };
            sleep(pause).await;
        }
    }
}

/// This name server and no search domains.
fn only(server: SocketAddr) -> ResolverConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    let server = NameServerConfig::new(server.ip(), true, connections.to_vec());
    ResolverConfig::from_name_servers(vec![server])
}
