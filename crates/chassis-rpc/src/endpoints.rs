//! The endpoints of a target: which there are, which are healthy, and which one takes a call.

use crate::ClientConfig;
use crate::catalogue::ENDPOINTS;
use crate::load::{Flight, Load};
use crate::outcome::{Reach, is_connect_error};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::RwLock;
use rand::Rng;
use rand::seq::IndexedRandom;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, transport};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Between two probes; drawn anew each time, so that many clients do not probe together.
const INTERVAL: std::ops::Range<Duration> = Duration::from_millis(200)..Duration::from_millis(300);
/// For one probe with its connection: traffic leaves a dead endpoint after this and an interval, within 1 s.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Between two probes, however many calls fail.
const PAUSE: Duration = Duration::from_millis(20);
/// How long after the opening a call waits for the first endpoint; later calls wait for none.
const FIRST: Duration = Duration::from_secs(1);

/// One server.
pub(crate) struct Endpoint {
    /// `host:port`.
    pub address: String,
    channel: transport::Channel,
    load: Load,
    /// Asks for a probe now.
    probe_now: Notify,
    /// Discovery no longer finds it.
    gone: CancellationToken,
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
    target: &'static str,
    config: ClientConfig,
    members: RwLock<Members>,
    /// Cancelled as soon as an endpoint is up, or all of the first ones are known to be down.
    settled: CancellationToken,
    opened: Instant,
}

#[derive(Default)]
struct Members {
    all: BTreeMap<String, (Arc<Endpoint>, Health)>,
    up: Vec<Arc<Endpoint>>,
}

impl Endpoints {
    pub fn new(target: &'static str, config: ClientConfig) -> Self {
        let endpoints = Self {
            target,
            config,
            members: RwLock::default(),
            settled: CancellationToken::new(),
            opened: Instant::now(),
        };
        endpoints.refresh(&mut Members::default());
        endpoints
    }

    /// The endpoint for a call, other than `avoid` if there is another one; none if none is healthy.
    pub async fn choose(&self, avoid: Option<&Arc<Endpoint>>) -> Option<Chosen> {
        let _ = timeout_at(self.opened + FIRST, self.settled.cancelled()).await;
        self.draw(avoid).or_else(|| self.draw(None))
    }

    /// The less loaded of two endpoints drawn at random.
    ///
    /// Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001). Not tower's
    /// `p2c::Balance`, which can't leave out the endpoint that an earlier attempt failed on.
    fn draw(&self, avoid: Option<&Arc<Endpoint>>) -> Option<Chosen> {
        let members = self.members.read();
        let drawn = members.up.choose_multiple(&mut rand::rng(), 3);
        let two = drawn.filter(|endpoint| avoid.is_none_or(|avoid| !Arc::ptr_eq(avoid, endpoint))).take(2);
        let endpoint = Arc::clone(two.min_by(|one, other| one.load.cost().total_cmp(&other.load.cost()))?);
        Some(Chosen { channel: endpoint.channel.clone(), flight: endpoint.load.begin(), endpoint })
    }

    /// Whether another endpoint is up.
    pub fn has_other(&self, endpoint: Option<&Arc<Endpoint>>) -> bool {
        let is_other = |other: &Arc<Endpoint>| endpoint.is_none_or(|endpoint| !Arc::ptr_eq(endpoint, other));
        self.members.read().up.iter().any(is_other)
    }

    /// Probes all endpoints that discovery finds, for ever.
    pub async fn follow(&self, mut found: watch::Receiver<BTreeSet<String>>) {
        let mut probes = FuturesUnordered::new();
        loop {
            tokio::select! {
                // Fails once discovery has ended, as that of a static list does; the probes go on.
                Ok(()) = found.changed() => {
                    let new = self.update(&found.borrow_and_update());
                    probes.extend(new.into_iter().map(|endpoint| self.probe_until_gone(endpoint)));
                }
                Some(()) = probes.next() => {}
                else => std::future::pending().await,
            }
        }
    }

    /// Takes these for all endpoints that there are. Those that are gone take no further calls; those that are
    /// new are returned to be probed.
    fn update(&self, found: &BTreeSet<String>) -> Vec<Arc<Endpoint>> {
        let mut members = self.members.write();
        members.all.retain(|address, (endpoint, _)| {
            let stays = found.contains(address);
            if !stays {
                endpoint.gone.cancel();
                tracing::info!(rpc_target = self.target, endpoint = address, "endpoint is gone");
            }
            stays
        });
        let mut new = Vec::new();
        for address in found {
            // TLS was checked when the channel was opened, and addresses by the discovery.
            if let Ok(channel) = self.config.channel(address)
                && !members.all.contains_key(address)
            {
                let endpoint = Arc::new(Endpoint {
                    address: address.clone(),
                    channel,
                    load: Load::new(),
                    probe_now: Notify::new(),
                    gone: CancellationToken::new(),
                });
                members.all.insert(address.clone(), (Arc::clone(&endpoint), Health::New));
                new.push(endpoint);
            }
        }
        self.refresh(&mut members);
        new
    }

    /// The endpoint has answered a probe.
    fn up(&self, endpoint: &Endpoint) {
        if self.set(endpoint, Health::Up) {
            tracing::info!(rpc_target = self.target, endpoint = endpoint.address, "endpoint is up");
        }
    }

    /// The endpoint takes no calls until it answers a probe again.
    fn down(&self, endpoint: &Endpoint, reason: &'static str) {
        if self.set(endpoint, Health::Down) {
            tracing::warn!(rpc_target = self.target, endpoint = endpoint.address, reason, "endpoint is down");
        }
    }

    /// Takes out an endpoint that can't be connected to, and has one whose connection broke probed at once.
    /// Draining is not dead: the next call opens a new connection.
    pub fn suspect(&self, endpoint: &Endpoint, reach: Reach) {
        match reach {
            Reach::NoConnection => self.down(endpoint, "no connection"),
            Reach::Broken => {}
            Reach::Answered | Reach::Nobody | Reach::Draining => return,
        }
        endpoint.probe_now.notify_one();
    }

    /// Whether this changed the endpoint's health.
    fn set(&self, endpoint: &Endpoint, health: Health) -> bool {
        let mut members = self.members.write();
        match members.all.get_mut(&endpoint.address) {
            Some((_, known)) if *known != health => *known = health,
            _ => return false,
        }
        endpoint.load.reset();
        self.refresh(&mut members);
        true
    }

    fn refresh(&self, members: &mut Members) {
        let up = members.all.values().filter(|(_, health)| *health == Health::Up);
        members.up = up.map(|(endpoint, _)| Arc::clone(endpoint)).collect();
        let [new, _, down] =
            [(Health::New, "new"), (Health::Up, "up"), (Health::Down, "down")].map(|(wanted, state)| {
                let count = members.all.values().filter(|(_, health)| *health == wanted).count();
                metrics::gauge!(ENDPOINTS.name, "target" => self.target, "state" => state).set(count as f64);
                count
            });
        if !members.up.is_empty() || (new == 0 && down > 0) {
            self.settled.cancel();
        }
    }

    async fn probe_until_gone(&self, endpoint: Arc<Endpoint>) {
        let probing = async {
            loop {
                self.probe(&endpoint).await;
                sleep(PAUSE).await;
                let interval = rand::rng().random_range(INTERVAL);
                let _ = timeout(interval, endpoint.probe_now.notified()).await;
            }
        };
        endpoint.gone.run_until_cancelled(probing).await;
    }

    async fn probe(&self, endpoint: &Endpoint) {
        let started = Instant::now();
        match timeout(TIMEOUT, check(endpoint.channel.clone())).await {
            Ok(Ok(())) => self.up(endpoint),
            Ok(Err(reason)) => self.down(endpoint, reason),
            // The health service is slow, but calls are answered.
            Err(_) if endpoint.load.has_answered_since(started) => {}
            Err(_) => self.down(endpoint, "no answer in time"),
        }
    }
}

/// Asks for the health of the server as a whole. A server that does not know the question, or does not answer it
/// to us, is there all the same.
async fn check(channel: transport::Channel) -> Result<(), &'static str> {
    let mut client = HealthClient::new(channel);
    let mut answer = client.check(HealthCheckRequest::default()).await;
    // A connection that the server closed in good order (GOAWAY), or that broke: draining is not dead, so the
    // same question goes over a new one.
    if answer.as_ref().is_err_and(|status| status.source().is_some() && !is_connect_error(status)) {
        answer = client.check(HealthCheckRequest::default()).await;
    }
    match answer.map(|answer| answer.into_inner().status()) {
        Ok(ServingStatus::Serving) => Ok(()),
        Ok(_) => Err("not serving"),
        Err(status) if is_there(&status) => Ok(()),
        Err(status) if is_connect_error(&status) => Err("no connection"),
        Err(_) => Err("no answer"),
    }
}

fn is_there(status: &Status) -> bool {
    use Code::{PermissionDenied, ResourceExhausted, Unauthenticated, Unimplemented};
    matches!(status.code(), Unimplemented | Unauthenticated | PermissionDenied | ResourceExhausted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Outcome;
    use conf::Conf;
    use std::collections::HashMap;

    fn set(addresses: &[&str]) -> BTreeSet<String> {
        addresses.iter().map(|address| (*address).to_owned()).collect()
    }

    fn endpoints() -> Endpoints {
        Endpoints::new("test", ClientConfig::try_parse_from(["test"], [("", "")]).unwrap())
    }

    fn choices(endpoints: &Endpoints, calls: usize) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for _ in 0..calls {
            let Chosen { endpoint, flight, .. } = endpoints.draw(None).unwrap();
            flight.end(Outcome::Answered);
            *counts.entry(endpoint.address.clone()).or_default() += 1;
        }
        counts
    }

    #[tokio::test]
    async fn an_endpoint_takes_no_call_before_it_has_answered_a_probe() {
        let endpoints = endpoints();
        let [a, b] = &endpoints.update(&set(&["a:1", "b:1"]))[..] else { panic!("two are new") };
        assert!(endpoints.draw(None).is_none() && !endpoints.settled.is_cancelled());
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
        assert!(endpoints.draw(None).is_none() && a.gone.is_cancelled());
        endpoints.up(&a);
        assert!(endpoints.draw(None).is_none());
    }

    #[tokio::test]
    async fn equal_endpoints_share_and_one_that_failed_is_avoided_until_it_comes_up_again() {
        let endpoints = endpoints();
        let all = endpoints.update(&set(&["a:1", "b:1", "c:1"]));
        all.iter().for_each(|endpoint| endpoints.up(endpoint));
        let counts = choices(&endpoints, 3_000);
        assert!(counts.len() == 3 && counts.values().all(|count| *count > 500), "{counts:?}");
        all[0].load.begin().end(Outcome::Failed);
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
        assert!(endpoints.draw(Some(&all[0])).is_none());
        endpoints.up(&all[1]);
        for _ in 0..100 {
            assert_eq!(endpoints.draw(Some(&all[0])).unwrap().endpoint.address, all[1].address);
        }
    }
}
