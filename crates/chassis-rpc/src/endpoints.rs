//! The endpoints of a target: which there are, which are healthy, and which one takes a call.

use crate::ClientConfig;
use crate::catalogue::ENDPOINTS;
use crate::load::Load;
use crate::outcome::{Failed, Reach};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::{Mutex, RwLock};
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
    pub channel: transport::Channel,
    pub load: Load,
    health: Mutex<Health>,
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

pub(crate) struct Endpoints {
    target: &'static str,
    config: ClientConfig,
    /// By address.
    members: RwLock<BTreeMap<String, Arc<Endpoint>>>,
    /// Cancelled as soon as an endpoint is up, or all of the first ones are known to be down.
    settled: CancellationToken,
    opened: Instant,
}

impl Endpoints {
    pub fn new(target: &'static str, config: ClientConfig) -> Self {
        let (settled, opened) = (CancellationToken::new(), Instant::now());
        let endpoints = Self { target, config, members: RwLock::default(), settled, opened };
        endpoints.changed();
        endpoints
    }

    /// The endpoint for a call, other than `avoid` if there is another one; none if none is healthy.
    pub async fn choose(&self, avoid: Option<&Arc<Endpoint>>) -> Option<Arc<Endpoint>> {
        let _ = timeout_at(self.opened + FIRST, self.settled.cancelled()).await;
        let others = self.healthy(avoid);
        draw(if others.is_empty() { self.healthy(None) } else { others })
    }

    /// The endpoints that are up, other than `avoid`.
    pub fn healthy(&self, avoid: Option<&Arc<Endpoint>>) -> Vec<Arc<Endpoint>> {
        let takes_calls = |endpoint: &&Arc<Endpoint>| {
            *endpoint.health.lock() == Health::Up && avoid.is_none_or(|avoid| !Arc::ptr_eq(avoid, endpoint))
        };
        self.members.read().values().filter(takes_calls).cloned().collect()
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
        for (address, endpoint) in members.extract_if(.., |address, _| !found.contains(address)) {
            endpoint.gone.cancel();
            tracing::info!(rpc_target = self.target, endpoint = address, "endpoint is gone");
        }
        let mut new = Vec::new();
        for address in found {
            // TLS was checked when the channel was opened, and addresses by the discovery.
            if !members.contains_key(address)
                && let Ok(channel) = self.config.channel(address)
            {
                let endpoint = Arc::new(Endpoint {
                    address: address.clone(),
                    channel,
                    load: Load::new(),
                    health: Mutex::new(Health::New),
                    probe_now: Notify::new(),
                    gone: CancellationToken::new(),
                });
                members.insert(address.clone(), Arc::clone(&endpoint));
                new.push(endpoint);
            }
        }
        drop(members);
        self.changed();
        new
    }

    /// Takes out an endpoint that can't be connected to, and has one whose connection broke probed at once.
    /// Draining is not dead: the next call opens a new connection.
    pub fn suspect(&self, endpoint: &Endpoint, failed: Failed) -> Status {
        if failed.reach == Reach::NoConnection {
            self.set(endpoint, Err("no connection"));
        }
        if matches!(failed.reach, Reach::NoConnection | Reach::Broken) {
            endpoint.probe_now.notify_one();
        }
        failed.status
    }

    /// The endpoint takes calls, or takes none for a reason until it answers a probe.
    fn set(&self, endpoint: &Endpoint, health: Result<(), &'static str>) {
        let new = if health.is_ok() { Health::Up } else { Health::Down };
        if std::mem::replace(&mut *endpoint.health.lock(), new) == new {
            return;
        }
        endpoint.load.reset();
        self.changed();
        let (rpc_target, endpoint) = (self.target, &endpoint.address);
        match health {
            Ok(()) => tracing::info!(rpc_target, endpoint, "endpoint is up"),
            Err(reason) => tracing::warn!(rpc_target, endpoint, reason, "endpoint is down"),
        }
    }

    /// Counts the endpoints, and whether the first ones are known.
    fn changed(&self) {
        // For one at a time: the last one to set the gauges knows the last change.
        let members = self.members.write();
        let states = [(Health::New, "new"), (Health::Up, "up"), (Health::Down, "down")];
        let [new, up, down] = states.map(|(health, state)| {
            let count = members.values().filter(|endpoint| *endpoint.health.lock() == health).count();
            metrics::gauge!(ENDPOINTS.name, "target" => self.target, "state" => state).set(count as f64);
            count
        });
        if up > 0 || (new == 0 && down > 0) {
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
            Ok(health) => self.set(endpoint, health),
            // The health service is slow, but calls are answered; or this process stood still, so that the answer
            // may have come long ago.
            Err(_) if endpoint.load.has_answered_since(started) || started.elapsed() > TIMEOUT + PAUSE => {}
            Err(_) => self.set(endpoint, Err("no answer in time")),
        }
    }
}

/// The less loaded of two endpoints drawn at random.
///
/// Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001). Not tower's `p2c::Balance`,
/// which can't leave out the endpoint that an earlier attempt failed on.
fn draw(endpoints: Vec<Arc<Endpoint>>) -> Option<Arc<Endpoint>> {
    let two = endpoints.choose_multiple(&mut rand::rng(), 2);
    two.min_by(|one, other| one.load.cost().total_cmp(&other.load.cost())).cloned()
}

/// Asks for the health of the server as a whole. A server that does not know the question, or does not answer it
/// to us, is there all the same.
async fn check(channel: transport::Channel) -> Result<(), &'static str> {
    use Code::{PermissionDenied, ResourceExhausted, Unauthenticated, Unimplemented};
    let mut client = HealthClient::new(channel);
    let mut answer = client.check(HealthCheckRequest::default()).await;
    // The server may have closed the connection in good order (GOAWAY): draining is not dead, so the same question
    // goes over a new one. Only what failed on the way has a source.
    if answer.as_ref().is_err_and(|status| status.source().is_some()) {
        answer = client.check(HealthCheckRequest::default()).await;
    }
    match answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code()) {
        Ok(ServingStatus::Serving) => Ok(()),
        Ok(_) => Err("not serving"),
        Err(Unimplemented | Unauthenticated | PermissionDenied | ResourceExhausted) => Ok(()),
        Err(_) => Err("no answer"),
    }
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
            let endpoint = draw(endpoints.healthy(None)).unwrap();
            endpoint.load.begin().outcome = Outcome::Answered;
            *counts.entry(endpoint.address.clone()).or_default() += 1;
        }
        counts
    }

    #[tokio::test]
    async fn an_endpoint_takes_no_call_before_it_has_answered_a_probe() {
        let endpoints = endpoints();
        let [a, b] = &endpoints.update(&set(&["a:1", "b:1"]))[..] else { panic!("two are new") };
        assert!(endpoints.healthy(None).is_empty() && !endpoints.settled.is_cancelled());
        endpoints.set(a, Err("as the test wants"));
        assert!(!endpoints.settled.is_cancelled());
        endpoints.set(b, Ok(()));
        assert!(endpoints.settled.is_cancelled());
        assert_eq!(choices(&endpoints, 10).keys().collect::<Vec<_>>(), ["b:1"]);
        assert!(endpoints.update(&set(&["a:1", "b:1"])).is_empty());
    }

    #[tokio::test]
    async fn an_endpoint_that_discovery_no_longer_finds_is_neither_called_nor_probed() {
        let endpoints = endpoints();
        let a = endpoints.update(&set(&["a:1"])).remove(0);
        endpoints.set(&a, Ok(()));
        assert_eq!(endpoints.update(&set(&["b:1"])).len(), 1);
        assert!(endpoints.healthy(None).is_empty() && a.gone.is_cancelled());
        endpoints.set(&a, Ok(()));
        assert!(endpoints.healthy(None).is_empty());
    }

    // Time stands still: a call during which the machine takes a break would make its endpoint look slow.
    #[tokio::test(start_paused = true)]
    async fn equal_endpoints_share_and_one_that_failed_is_avoided_until_it_comes_up_again() {
        let endpoints = endpoints();
        let all = endpoints.update(&set(&["a:1", "b:1", "c:1"]));
        all.iter().for_each(|endpoint| endpoints.set(endpoint, Ok(())));
        let counts = choices(&endpoints, 3_000);
        assert!(counts.len() == 3 && counts.values().all(|count| *count > 500), "{counts:?}");
        all[0].load.begin().outcome = Outcome::Failed;
        assert!(!choices(&endpoints, 300).contains_key("a:1"));
        endpoints.set(&all[0], Err("as the test wants"));
        endpoints.set(&all[0], Ok(()));
        assert!(choices(&endpoints, 300).contains_key("a:1"));
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the process stands still")]
    async fn a_process_that_stood_still_holds_that_against_no_endpoint() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoints = endpoints();
        let endpoint = endpoints.update(&set(&[&silent.local_addr().unwrap().to_string()])).remove(0);
        endpoints.set(&endpoint, Ok(()));
        let stall = async {
            tokio::task::yield_now().await;
            std::thread::sleep(TIMEOUT + 10 * PAUSE);
        };
        tokio::join!(endpoints.probe(&endpoint), stall);
        assert_eq!(endpoints.healthy(None).len(), 1);
        endpoints.probe(&endpoint).await;
        assert!(endpoints.healthy(None).is_empty());
    }

    #[tokio::test]
    async fn an_endpoint_is_avoided_where_there_is_another() {
        let endpoints = endpoints();
        let all = endpoints.update(&set(&["a:1", "b:1"]));
        let avoid = Some(&all[0]);
        endpoints.set(&all[0], Ok(()));
        assert!(endpoints.healthy(avoid).is_empty() && endpoints.choose(avoid).await.is_some());
        endpoints.set(&all[1], Ok(()));
        assert_eq!(endpoints.choose(avoid).await.unwrap().address, all[1].address);
    }
}
