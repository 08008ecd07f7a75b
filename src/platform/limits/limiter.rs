//! The limit of every client: its bucket, the cap on how many are remembered, and what is told of it.

use super::{
    Client,
    buckets::{Buckets, Taken, take},
    config::{LimitsConfig, PerClient},
    gcra::{Moment, Rule, Used},
};
use crate::platform::{auth::KeyName, telemetry::names};
use metrics::{Counter, Gauge};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// So many that each is locked for microseconds only, and that a million clients, 781 in each, fill tables of
/// 1,024 slots.
const NETWORK_SHARDS: usize = 1280;
const KEY_SHARDS: usize = 16;

/// What the limiter says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// Requests that the client may still send at once.
    pub remaining: u32,
    /// After which one request passes, to the nanosecond; zero if one would pass now.
    pub retry_after: Duration,
    /// After which `remaining` is one more.
    pub more_after: Duration,
    /// After which the whole burst is there again.
    pub full_after: Duration,
}

/// Where a request came in: a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    Http,
    Grpc,
}

/// Time since some begin, which never goes backwards. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    pub fn new(since_begin: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(since_begin))
    }
}

/// The system's.
impl Default for Clock {
    fn default() -> Self {
        let begin = Instant::now();
        Self::new(move || begin.elapsed())
    }
}

/// The buckets of all clients. Cheap to clone; all clones share them.
#[derive(Clone)]
pub struct Limiter(Arc<Inner>);

struct Inner {
    limit: PerClient,
    rule: Rule,
    clock: Clock,
    /// Apart from the addresses: there are as many as keys in the file, and no flood of addresses takes
    /// their place.
    keys: Buckets<KeyName>,
    /// By the bits that tell networks apart.
    networks: Buckets<u64>,
    /// The one bucket of all that there is no room for.
    overflow: Mutex<Moment>,
    metrics: Metrics,
}

impl Limiter {
    /// Make it after the metrics recorder is installed: handles are kept.
    ///
    /// Have [`Self::keep_clean`] run as long as it is in use.
    pub fn new(config: &LimitsConfig) -> Self {
        Self::with_clock(config, Clock::default())
    }

    /// The same by another clock.
    pub fn with_clock(config: &LimitsConfig, clock: Clock) -> Self {
        let rule = Rule::new(config.per_client);
        Self(Arc::new(Inner {
            limit: config.per_client,
            overflow: Mutex::new(rule.full_at(Used::NOTHING, rule.moment((clock.0)()))),
            rule,
            clock,
            keys: Buckets::new(KEY_SHARDS, usize::MAX),
            networks: Buckets::new(NETWORK_SHARDS, config.max_clients),
            metrics: Metrics::new(),
        }))
    }

    /// Counts one request against its client.
    pub fn check(&self, client: &Client, surface: Surface) -> Decision {
        let (inner, rule) = (&*self.0, &self.0.rule);
        let taken = match client {
            Client::Key(name) => inner.keys.take(name, rule, || inner.now()),
            Client::Network(network) => inner.networks.take(&network.bits(), rule, || inner.now()),
        };
        let taken = taken.unwrap_or_else(|| inner.take_of_overflow());
        inner.metrics.decided(taken.allowed, surface);
        inner.decision(taken)
    }

    /// What each client may.
    pub fn limit(&self) -> PerClient {
        self.0.limit
    }

    /// Tells how many clients are remembered.
    pub fn measure(&self) {
        let remembered = self.0.keys.remembered() + self.0.networks.remembered();
        self.0.metrics.clients.set(remembered as f64);
    }

    /// Forgets clients whose buckets are full again, forever: each is remembered for at most this pause and a
    /// pass longer than its bucket takes to refill.
    pub async fn keep_clean(self) {
        let pause = self.0.rule.longest().clamp(Duration::from_secs(1), Duration::from_secs(60));
        loop {
            tokio::time::sleep(pause).await;
            for step in 0..self.0.steps() {
                self.0.forget(step);
                // Requests go first.
                tokio::task::yield_now().await;
            }
        }
    }
}

impl Inner {
    fn now(&self) -> Moment {
        self.rule.moment((self.clock.0)())
    }

    fn take_of_overflow(&self) -> Taken {
        self.metrics.overflow.increment(1);
        let mut full_at = self.overflow.lock();
        take(&mut full_at, &self.rule, self.now())
    }

    fn decision(&self, taken: Taken) -> Decision {
        let more_after = self.rule.more_after(taken.used);
        let remaining = self.rule.remaining(taken.used);
        Decision {
            allowed: taken.allowed,
            remaining,
            retry_after: if remaining == 0 { more_after } else { Duration::ZERO },
            more_after,
            full_after: self.rule.full_after(taken.used),
        }
    }

    /// How many steps a pass of the cleaning has.
    fn steps(&self) -> usize {
        self.networks.shards().max(self.keys.shards())
    }

    /// One step of it.
    fn forget(&self, step: usize) {
        self.networks.forget(step, &self.rule, || self.now());
        self.keys.forget(step, &self.rule, || self.now());
        let mut full_at = self.overflow.lock();
        let now = self.now();
        *full_at = self.rule.full_at(self.rule.used(*full_at, now), now);
    }
}

struct Metrics {
    /// By surface: let through, and refused.
    http: [Counter; 2],
    grpc: [Counter; 2],
    overflow: Counter,
    clients: Gauge,
}

impl Metrics {
    fn new() -> Self {
        let decision = |decision, surface| {
            metrics::counter!(
                names::RATE_LIMIT_DECISIONS,
                names::LABEL_DECISION => decision,
                names::LABEL_SURFACE => surface
            )
        };
        Self {
            http: ["allowed", "limited"].map(|told| decision(told, "http")),
            grpc: ["allowed", "limited"].map(|told| decision(told, "grpc")),
            overflow: metrics::counter!(names::RATE_LIMIT_OVERFLOW),
            clients: metrics::gauge!(names::RATE_LIMIT_CLIENTS),
        }
    }

    fn decided(&self, allowed: bool, surface: Surface) {
        let [let_through, refused] = match surface {
            Surface::Http => &self.http,
            Surface::Grpc => &self.grpc,
        };
        if allowed { let_through } else { refused }.increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::RwLock;
    use std::net::IpAddr;

    /// A clock that stands still until it is set.
    struct Watch(Arc<RwLock<Duration>>);

    impl Watch {
        fn limiter(rate: u32, burst: u32, max_clients: usize) -> (Self, Limiter) {
            let per_client = PerClient { rate, burst };
            let config = LimitsConfig { per_client, max_clients, trusted_proxies: Vec::new() };
            let time = Arc::new(RwLock::new(Duration::ZERO));
            let shown = Arc::clone(&time);
            (Self(time), Limiter::with_clock(&config, Clock::new(move || *shown.read())))
        }

        fn advance(&self, by: Duration) {
            *self.0.write() += by;
        }
    }

    fn client(number: u8) -> Client {
        Client::Network(IpAddr::from([192, 0, 2, number]).into())
    }

    fn allowed(limiter: &Limiter, client: &Client, times: usize) -> usize {
        (0..times).filter(|_| limiter.check(client, Surface::Http).allowed).count()
    }

    #[test]
    fn what_is_told_is_true_to_the_nanosecond() {
        let (watch, limiter) = Watch::limiter(3, 2, 10);
        let check = || limiter.check(&client(1), Surface::Http);
        let first = check();
        assert_eq!((first.allowed, first.remaining, first.retry_after), (true, 1, Duration::ZERO));
        assert_eq!(first.full_after, Duration::from_nanos(333_333_334));
        let second = check();
        assert_eq!((second.allowed, second.remaining), (true, 0));
        assert_eq!(second.retry_after, Duration::from_nanos(333_333_334));
        watch.advance(second.retry_after - Duration::from_nanos(1));
        let early = check();
        assert_eq!((early.allowed, early.retry_after), (false, Duration::from_nanos(1)));
        watch.advance(early.retry_after);
        assert!(check().allowed);
    }

    #[test]
    fn every_surface_takes_from_one_bucket() {
        let (_watch, limiter) = Watch::limiter(1, 2, 10);
        let other = limiter.clone();
        assert!(other.check(&client(1), Surface::Grpc).allowed);
        assert!(limiter.check(&client(1), Surface::Http).allowed);
        assert!(!limiter.check(&client(1), Surface::Grpc).allowed);
        assert!(limiter.check(&client(2), Surface::Grpc).allowed, "another client has its own");
    }

    #[test]
    fn clients_beyond_the_cap_share_one_bucket_and_known_ones_keep_theirs() {
        let (watch, limiter) = Watch::limiter(1, 3, 2);
        assert_eq!((allowed(&limiter, &client(1), 1), allowed(&limiter, &client(2), 1)), (1, 1));
        assert_eq!((allowed(&limiter, &client(3), 2), allowed(&limiter, &client(4), 5)), (2, 1));
        assert_eq!(allowed(&limiter, &client(1), 5), 2);
        watch.advance(Duration::from_secs(3));
        (0..limiter.0.steps()).for_each(|step| limiter.0.forget(step));
        assert_eq!(limiter.0.networks.remembered(), 0);
        assert_eq!(allowed(&limiter, &client(4), 5), 3, "there is room again");
    }

    #[test]
    fn forgetting_gives_nobody_anything() {
        let (watch, limiter) = Watch::limiter(1, 3, 2);
        assert_eq!(allowed(&limiter, &client(1), 5), 3);
        watch.advance(Duration::from_nanos(2_999_999_999));
        (0..limiter.0.steps()).for_each(|step| limiter.0.forget(step));
        assert_eq!((limiter.0.networks.remembered(), allowed(&limiter, &client(1), 5)), (1, 2));
    }
}
