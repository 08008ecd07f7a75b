//! The addresses of a name, asked again as often as its records want.

use super::{Fault, Teller};
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

/// However short records live, so that a name server is not flooded.
const SOONEST: Duration = Duration::from_secs(1);
/// However long records live: what has moved is found within this, also where somebody set a day. A dead
/// endpoint is out long before, by its probes.
const LATEST: Duration = Duration::from_secs(30);
/// For one question to one name server, before it is put again.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A name and where to ask for it.
pub(super) struct Dns {
    resolver: TokioResolver,
    name: String,
    port: u16,
}

impl Dns {
    /// Asked at `server`, or as the system's settings say, with their search domains and file of hosts.
    pub fn new(name: String, port: u16, server: Option<SocketAddr>) -> Result<Self, Fault> {
        let mut builder = match server {
            Some(server) => TokioResolver::builder_with_config(only(server), TokioRuntimeProvider::default()),
            None => TokioResolver::builder_tokio()?,
        };
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.timeout = TIMEOUT;
        // We ask when records have run out, not before.
        options.cache_size = 0;
        Ok(Self { resolver: builder.build()?, name, port })
    }

    /// Asks, tells and waits, for ever. An answer without an address counts as none: whether the endpoints
    /// known so far are still there is seen by their probes.
    pub async fn follow(self, teller: Teller) {
        let mut fails = false;
        loop {
            let pause = match self.ask().await {
                Ok((addresses, lives)) => {
                    if std::mem::take(&mut fails) {
                        tracing::info!(rpc_target = teller.target, "name is found again");
                    }
                    teller.found(addresses);
                    lives.clamp(SOONEST, LATEST)
                }
                Err(_) => {
                    if !std::mem::replace(&mut fails, true) {
                        tracing::warn!(
                            rpc_target = teller.target,
                            "name is not found: known endpoints stay in use"
                        );
                    }
                    teller.failed();
                    SOONEST
                }
            };
            sleep(pause).await;
        }
    }

    /// The addresses, and how long they are good for.
    async fn ask(&self) -> Result<(BTreeSet<String>, Duration), NetError> {
        let answer = self.resolver.lookup_ip(self.name.as_str()).await?;
        let addresses: BTreeSet<String> =
            answer.iter().map(|ip| SocketAddr::new(ip, self.port).to_string()).collect();
        if addresses.is_empty() {
            return Err(NetError::Message("no address"));
        }
        Ok((addresses, answer.valid_until().saturating_duration_since(Instant::now())))
    }
}

/// This name server, and no search domains: the name is whole.
fn only(server: SocketAddr) -> ResolverConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    let server = NameServerConfig::new(server.ip(), true, connections.to_vec());
    ResolverConfig::from_name_servers(vec![server])
}
