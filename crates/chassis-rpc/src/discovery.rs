//! Finds the endpoints of a target and follows their changes. Whether an endpoint is healthy is found out by
//! `endpoints`: discovery only says where to ask.

use crate::Target;
use crate::catalogue::LOOKUPS;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::sleep;

/// Between two look-ups of a name, however short the time to live of its records.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// However long it is: an endpoint that has moved is found within this. A dead one is out long before.
const INTERVAL_MAX: Duration = Duration::from_secs(30);
/// For one question to one name server.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Takes what a discovery finds. After a failed look-up the known endpoints stay in use.
pub struct Found {
    target: &'static str,
    endpoints: watch::Sender<BTreeSet<String>>,
    failing: bool,
}

impl Found {
    pub(crate) fn channel(target: &'static str) -> (Self, watch::Receiver<BTreeSet<String>>) {
        let (endpoints, receiver) = watch::channel(BTreeSet::new());
        let found = Self { target, endpoints, failing: false };
        ["ok", "failed"].iter().for_each(|outcome| found.count(outcome, 0));
        (found, receiver)
    }

    /// These are all endpoints that there are, as `host:port`.
    pub fn endpoints(&mut self, found: BTreeSet<String>) {
        self.count("ok", 1);
        if std::mem::take(&mut self.failing) {
            tracing::info!(rpc_target = self.target, "endpoint look-ups succeed again");
        }
        if *self.endpoints.borrow() != found {
            tracing::info!(rpc_target = self.target, endpoints = found.len(), "endpoints found");
            self.endpoints.send_replace(found);
        }
    }

    /// A look-up failed. Only the first failure in a row is logged; `reason` comes from a closed set.
    pub fn failed(&mut self, reason: &'static str) {
        self.count("failed", 1);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(rpc_target = self.target, reason, "look-up failed: known endpoints stay in use");
        }
    }

    fn count(&self, outcome: &'static str, by: u64) {
        metrics::counter!(LOOKUPS.name, "target" => self.target, "outcome" => outcome).increment(by);
    }
}

/// Follows the endpoints of `target`.
pub(crate) async fn follow(target: Target, resolver: Option<TokioResolver>, mut found: Found) {
    match (target, resolver) {
        (Target::Static(addresses), _) => found.endpoints(addresses.into_iter().collect()),
        (Target::Dns { name, port, .. }, Some(resolver)) => follow_name(resolver, name, port, found).await,
        #[cfg(feature = "etcd")]
        (Target::Etcd { members, prefix }, _) => crate::etcd::follow(members, prefix, found).await,
        // A name has a resolver, and without the feature no text is parsed to an etcd target.
        _ => {}
    }
}

/// For a name: one that asks its name server without search domains, or as the system's settings say.
pub(crate) fn resolver(target: &Target) -> Result<Option<TokioResolver>, NetError> {
    let Target::Dns { server, .. } = target else { return Ok(None) };
    let mut builder = match server {
        Some(server) => {
            let mut only = NameServerConfig::udp_and_tcp(server.ip());
            only.connections.iter_mut().for_each(|connection| connection.port = server.port());
            let config = ResolverConfig::from_name_servers(vec![only]);
            TokioResolver::builder_with_config(config, Default::default())
        }
        None => TokioResolver::builder_tokio()?,
    };
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.timeout = TIMEOUT;
    // We ask when records have expired, not before.
    options.cache_size = 0;
    builder.build().map(Some)
}

/// Looks a name up as often as the time to live of its records says. An answer without an address counts as a
/// failure: whether the known endpoints are still there is found out by their probes.
async fn follow_name(resolver: TokioResolver, name: String, port: u16, mut found: Found) {
    loop {
        let mut pause = INTERVAL_MIN;
        match resolver.lookup_ip(name.as_str()).await {
            Ok(answer) if answer.iter().next().is_some() => {
                found.endpoints(answer.iter().map(|ip| SocketAddr::new(ip, port).to_string()).collect());
                let expires = answer.valid_until().saturating_duration_since(Instant::now());
                pause = expires.clamp(INTERVAL_MIN, INTERVAL_MAX);
            }
            Ok(_) => found.failed("the name has no address"),
            Err(_) => found.failed("the name is not found"),
        }
        sleep(pause).await;
    }
}
