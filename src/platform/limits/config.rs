//! Settings of the rate limit, and of the proxies that are believed.

use crate::platform::config::{List, Reader};
use ipnet::IpNet;

/// The rate limit's settings.
#[derive(Clone, Debug)]
pub struct LimitsConfig {
    pub per_client: PerClient,
    /// Clients remembered; beyond it new ones share one bucket.
    pub max_clients: usize,
    /// Peers whose `X-Forwarded-For` and sampling flag are believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// What one client may do.
#[derive(Clone, Copy, Debug)]
pub struct PerClient {
    /// Requests a second, sustained.
    pub rate: u32,
    /// Requests at once.
    pub burst: u32,
}

impl LimitsConfig {
    /// Reads `limits.*`.
    pub fn read(reader: &mut Reader) -> Self {
        let per_client = PerClient {
            rate: reader.value_in(
                "limits.per_client.rate",
                "100",
                "1"..="1000000",
                "requests a second that a client sustains",
            ),
            burst: reader.value_in(
                "limits.per_client.burst",
                "200",
                "1"..="1000000",
                "requests that a client may send at once",
            ),
        };
        let max_clients = reader.value_in(
            "limits.max_clients",
            "1000000",
            "1"..="100000000",
            "clients remembered; beyond it new ones share one bucket",
        );
        let List(trusted_proxies) = reader.value(
            "limits.trusted_proxies",
            "",
            "networks (CIDR) whose X-Forwarded-For and sampling flag are believed",
        );
        Self { per_client, max_clients, trusted_proxies }
    }

    /// What an operator is warned of.
    pub fn warning(&self) -> Option<String> {
        let everybody = self.trusted_proxies.iter().find(|network| network.prefix_len() == 0)?;
        Some(format!(
            "limits.trusted_proxies holds {everybody}: every caller may choose the address that it is limited by"
        ))
    }

    /// Whether this peer is one of the trusted proxies.
    pub fn trusts(&self, peer: std::net::IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&peer))
    }
}
