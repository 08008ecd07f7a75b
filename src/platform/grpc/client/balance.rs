//! Which healthy endpoint takes a call: the less loaded of two that are drawn. What the load is stands in
//! `load`, which endpoints there are in `roster`.

use super::load::{Flight, Load};
use futures_util::{FutureExt, Stream};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};
use tonic::transport;
use tower::{Service, balance::p2c, discover::Change, load};

/// An endpoint's address, as `host:port`.
pub(super) type Address = Arc<str>;

/// An endpoint with a connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connected {
    pub address: Address,
    pub channel: transport::Channel,
    pub load: Load,
}

/// An endpoint that was chosen for a call, which counts as in flight.
pub(super) struct Chosen {
    pub endpoint: Connected,
    pub flight: Flight,
}

/// Tower's balance over endpoints that are always ready, since calls wait for nothing but an answer. So it
/// is never waited on either: it is polled under the caller's lock, and what it says holds at once.
pub(super) struct Balance {
    inner: p2c::Balance<Changes, ()>,
    changes: Changes,
}

impl Balance {
    pub fn new() -> Self {
        let changes = Changes::default();
        Self { inner: p2c::Balance::new(changes.clone()), changes }
    }

    pub fn insert(&mut self, endpoint: Connected) {
        self.change(Change::Insert(Arc::clone(&endpoint.address), endpoint));
    }

    pub fn remove(&mut self, address: &Address) {
        self.change(Change::Remove(Arc::clone(address)));
    }

    /// The endpoint for a call, unless there is none.
    pub fn choose(&mut self) -> Option<Chosen> {
        if !self.poll() {
            return None;
        }
        self.inner.call(()).now_or_never().and_then(Result::ok)
    }

    /// Tells the balance at once, so that changes never gather.
    fn change(&mut self, change: Change<Address, Connected>) {
        self.changes.0.lock().push_back(change);
        self.poll();
    }

    /// Whether there is an endpoint.
    fn poll(&mut self) -> bool {
        matches!(self.inner.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())))
    }
}

/// What the balance has still to be told.
#[derive(Clone, Default)]
struct Changes(Arc<Mutex<VecDeque<Change<Address, Connected>>>>);

impl Stream for Changes {
    type Item = Result<Change<Address, Connected>, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.lock().pop_front().map_or(Poll::Pending, |change| Poll::Ready(Some(Ok(change))))
    }
}

impl load::Load for Connected {
    type Metric = f64;

    fn load(&self) -> f64 {
        self.load.cost()
    }
}

impl Service<()> for Connected {
    type Response = Chosen;
    type Error = Infallible;
    type Future = Ready<Result<Chosen, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(Chosen { endpoint: self.clone(), flight: self.load.begin() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::grpc::client::load::Outcome;
    use std::collections::HashMap;

    fn endpoint(address: &str) -> Connected {
        let channel = transport::Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        Connected { address: address.into(), channel, load: Load::new() }
    }

    fn choices(balance: &mut Balance, calls: usize) -> HashMap<Address, usize> {
        let mut counts = HashMap::new();
        for _ in 0..calls {
            let mut chosen = balance.choose().unwrap();
            chosen.flight.set(Outcome::Answered);
            *counts.entry(chosen.endpoint.address).or_default() += 1;
        }
        counts
    }

    #[tokio::test]
    async fn equal_endpoints_share_and_a_removed_one_takes_nothing() {
        let mut balance = Balance::new();
        assert!(balance.choose().is_none());
        ["a", "b", "c"].into_iter().for_each(|address| balance.insert(endpoint(address)));
        let counts = choices(&mut balance, 3_000);
        assert!(counts.len() == 3 && counts.values().all(|count| *count > 500), "{counts:?}");
        balance.remove(&"b".into());
        assert!(!choices(&mut balance, 100).contains_key("b"));
        ["a", "c"].into_iter().for_each(|address| balance.remove(&address.into()));
        assert!(balance.choose().is_none());
        assert!(balance.changes.0.lock().is_empty());
    }

    #[tokio::test]
    async fn an_endpoint_that_failed_is_avoided_at_once() {
        let mut balance = Balance::new();
        let failing = endpoint("failing");
        ["a", "b"].into_iter().for_each(|address| balance.insert(endpoint(address)));
        balance.insert(failing.clone());
        failing.load.begin().set(Outcome::Failed);
        // One choice may have been made before.
        let counts = choices(&mut balance, 300);
        assert!(counts.get("failing").copied().unwrap_or_default() <= 1, "{counts:?}");
    }

    #[tokio::test]
    async fn an_endpoint_inserted_again_is_replaced() {
        let mut balance = Balance::new();
        let (old, new) = (endpoint("a"), endpoint("a"));
        [old, new.clone()].into_iter().for_each(|endpoint| balance.insert(endpoint));
        let _first = balance.choose();
        assert!(balance.choose().unwrap().endpoint.load.is(&new.load));
    }
}
