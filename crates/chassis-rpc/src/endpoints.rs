//! The endpoints of a target: which there are, which are healthy, and which one takes a call.

use crate::{
    Address,
    catalogue::ENDPOINTS,
    connect::Connector,
    load::{Flight, Load},
};
use metrics::Gauge;
use parking_lot::RwLock;
use rand::seq::IndexedRandom;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::transport;

/// The most endpoints of a target: each costs a connection and four probes a second.
pub(crate) const ENDPOINTS_MAX: usize = 1000;

/// One server.
pub(crate) struct Endpoint {
    pub address: Address,
    /// Replaced with the load when the endpoint comes up, so that nothing of the past counts.
    connection: RwLock<Connection>,
    /// Asks for a probe now.
    pub probe_now: Notify,
    /// Discovery no longer finds it.
    pub gone: CancellationToken,
}

#[derive(Clone)]
pub(crate) struct Connection {
    pub channel: transport::Channel,
    pub load: Load,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    /// Not probed yet, so it takes no calls.
    New,
    Up,
    Down,
}

/// An endpoint that was chosen for a call, which counts as in flight.
pub(crate) struct Chosen {
    pub endpoint: Arc<Endpoint>,
    pub channel: transport::Channel,
    pub flight: Flight,
}

pub(crate) struct Endpoints {
    pub target: &'static str,
    connector: Connector,
    members: RwLock<Members>,
    /// Cancelled as soon as an endpoint is up, or all of the first ones are known to be down.
    pub settled: CancellationToken,
    gauges: [(Health, Gauge); 3],
}

#[derive(Default)]
struct Members {
    all: BTreeMap<Address, (Arc<Endpoint>, Health)>,
    up: Vec<Arc<Endpoint>>,
}

impl Endpoint {
    pub fn connection(&self) -> Connection {
        self.connection.read().clone()
    }
}

impl Endpoints {
    pub fn new(target: &'static str, connector: Connector) -> Self {
        let gauges =
            [(Health::New, "new"), (Health::Up, "up"), (Health::Down, "down")].map(|(health, state)| {
                let gauge = metrics::gauge!(ENDPOINTS.name, "target" => target, "state" => state);
                gauge.set(0);
                (health, gauge)
            });
        let (members, settled) = (RwLock::default(), CancellationToken::new());
        Self { target, connector, members, settled, gauges }
    }

    /// The less loaded of two endpoints drawn at random, other than `avoid`; none if none is healthy.
    ///
    /// Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001). Not tower's
    /// `p2c::Balance`, which can't leave out the endpoint that an earlier attempt failed on.
    pub fn choose(&self, avoid: Option<&Arc<Endpoint>>) -> Option<Chosen> {
        let members = self.members.read();
        let drawn = members.up.choose_multiple(&mut rand::rng(), 3);
        let others = drawn.filter(|endpoint| avoid.is_none_or(|avoid| !Arc::ptr_eq(avoid, endpoint)));
        let two = others.take(2).map(|endpoint| (endpoint, endpoint.connection()));
        let (endpoint, Connection { channel, load }) =
            two.min_by(|(_, one), (_, other)| one.load.cost().total_cmp(&other.load.cost()))?;
        Some(Chosen { endpoint: Arc::clone(endpoint), channel, flight: load.begin() })
    }

    /// Whether another endpoint is up.
    pub fn has_other(&self, endpoint: Option<&Arc<Endpoint>>) -> bool {
        let is_other = |other: &Arc<Endpoint>| endpoint.is_none_or(|endpoint| !Arc::ptr_eq(endpoint, other));
        self.members.read().up.iter().any(is_other)
    }

    /// Takes these for all endpoints that there are. Those that are gone take no further calls; those that are
    /// new are returned to be probed.
    pub fn update(&self, found: &BTreeSet<Address>) -> Vec<Arc<Endpoint>> {
        if found.len() > ENDPOINTS_MAX {
            let (found, max) = (found.len(), ENDPOINTS_MAX);
            tracing::warn!(rpc_target = self.target, found, max, "too many endpoints: some are left out");
        }
        let found: BTreeSet<_> = found.iter().take(ENDPOINTS_MAX).collect();
        let mut members = self.members.write();
        members.all.retain(|address, (endpoint, _)| {
            let stays = found.contains(address);
            if !stays {
                endpoint.gone.cancel();
                tracing::info!(rpc_target = self.target, endpoint = %address, "endpoint is gone");
            }
            stays
        });
        let mut new = Vec::new();
        for address in found {
            if members.all.contains_key(address) {
                continue;
            }
            // Addresses were checked when they were parsed, and TLS when the channel was opened.
            let Ok(channel) = self.connector.channel(address.as_str()) else { continue };
            let endpoint = Arc::new(Endpoint {
                address: address.clone(),
                connection: RwLock::new(Connection { channel, load: Load::new() }),
                probe_now: Notify::new(),
                gone: CancellationToken::new(),
            });
            members.all.insert(address.clone(), (Arc::clone(&endpoint), Health::New));
            new.push(endpoint);
        }
        self.refresh(&mut members);
        new
    }

    /// The endpoint has answered a probe.
    pub fn up(&self, endpoint: &Endpoint) {
        if self.set(endpoint, Health::Up, || endpoint.connection.write().load = Load::new()) {
            tracing::info!(rpc_target = self.target, endpoint = %endpoint.address, "endpoint is up");
        }
    }

    /// The endpoint takes no calls until it answers a probe again.
    pub fn down(&self, endpoint: &Endpoint, reason: &'static str) {
        if self.set(endpoint, Health::Down, || {}) {
            tracing::warn!(rpc_target = self.target, endpoint = %endpoint.address, reason, "endpoint is down");
        }
    }

    /// Gives up a connection on which nothing is heard.
    pub fn reconnect(&self, endpoint: &Endpoint) {
        if let Ok(channel) = self.connector.channel(endpoint.address.as_str()) {
            endpoint.connection.write().channel = channel;
        }
    }

    /// Whether this changed the endpoint's health; `change` is done before that is seen.
    fn set(&self, endpoint: &Endpoint, health: Health, change: impl FnOnce()) -> bool {
        let mut members = self.members.write();
        match members.all.get_mut(&endpoint.address) {
            Some((_, known)) if *known != health => *known = health,
            _ => return false,
        }
        change();
        self.refresh(&mut members);
        true
    }

    fn refresh(&self, members: &mut Members) {
        let up = members.all.values().filter(|(_, health)| *health == Health::Up);
        members.up = up.map(|(endpoint, _)| Arc::clone(endpoint)).collect();
        let count = |wanted| members.all.values().filter(|(_, health)| *health == wanted).count();
        self.gauges.iter().for_each(|(health, gauge)| gauge.set(count(*health) as f64));
        if !members.up.is_empty() || (count(Health::New) == 0 && count(Health::Down) > 0) {
            self.settled.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Outcome;
    use std::collections::HashMap;

    fn set(addresses: &[&str]) -> BTreeSet<Address> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    fn endpoints() -> Endpoints {
        let target = "static://a:1".parse().unwrap();
        Endpoints::new("test", Connector::new(&crate::TlsConfig::default(), &target))
    }

    fn choices(endpoints: &Endpoints, calls: usize) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for _ in 0..calls {
            let Chosen { endpoint, flight, .. } = endpoints.choose(None).unwrap();
            flight.end(Outcome::Answered);
            *counts.entry(endpoint.address.to_string()).or_default() += 1;
        }
        counts
    }

    #[tokio::test]
    async fn an_endpoint_takes_no_call_before_it_has_answered_a_probe() {
        let endpoints = endpoints();
        let [a, b] = &endpoints.update(&set(&["a:1", "b:1"]))[..] else { panic!("two are new") };
        assert!(endpoints.choose(None).is_none() && !endpoints.settled.is_cancelled());
        endpoints.down(a, "as the test wants");
        assert!(!endpoints.settled.is_cancelled());
        endpoints.up(b);
        assert!(endpoints.settled.is_cancelled());
        assert_eq!(choices(&endpoints, 10).keys().collect::<Vec<_>>(), ["b:1"]);
        assert!(endpoints.update(&set(&["a:1", "b:1"])).is_empty());
    }

    #[tokio::test]
    async fn an_endpoint_that_discovery_no_longer_finds_is_neither_called_nor_probed() {
        let endpoints = endpoints();
        let a = endpoints.update(&set(&["a:1"])).remove(0);
        endpoints.up(&a);
        assert_eq!(endpoints.update(&set(&["b:1"])).len(), 1);
        assert!(endpoints.choose(None).is_none() && a.gone.is_cancelled());
        endpoints.up(&a);
        assert!(endpoints.choose(None).is_none());
    }

    #[tokio::test]
    async fn equal_endpoints_share_and_one_that_failed_is_avoided_until_it_comes_up_again() {
        let endpoints = endpoints();
        let all = endpoints.update(&set(&["a:1", "b:1", "c:1"]));
        all.iter().for_each(|endpoint| endpoints.up(endpoint));
        let counts = choices(&endpoints, 3_000);
        assert!(counts.len() == 3 && counts.values().all(|count| *count > 500), "{counts:?}");
        all[0].connection().load.begin().end(Outcome::Failed);
        assert!(!choices(&endpoints, 300).contains_key("a:1"));
        endpoints.down(&all[0], "as the test wants");
        endpoints.up(&all[0]);
        assert!(choices(&endpoints, 300).contains_key("a:1"));
    }

    #[tokio::test]
    async fn an_endpoint_can_be_avoided() {
        let endpoints = endpoints();
        let all = endpoints.update(&set(&["a:1", "b:1"]));
        endpoints.up(&all[0]);
        assert!(endpoints.choose(Some(&all[0])).is_none());
        endpoints.up(&all[1]);
        for _ in 0..100 {
            assert_eq!(endpoints.choose(Some(&all[0])).unwrap().endpoint.address, all[1].address);
        }
    }

    #[tokio::test]
    async fn the_number_of_endpoints_is_bounded() {
        let many = (1..=ENDPOINTS_MAX + 1).map(|port| format!("a:{port}").parse().unwrap()).collect();
        assert_eq!(endpoints().update(&many).len(), ENDPOINTS_MAX);
    }
}
