//! How many connections may be open on a listener, and how many of them one address may have.

use crate::platform::{limits::Network, telemetry::names};
use metrics::{Counter, Gauge};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// A listener's places, and who has them.
pub(super) struct Room {
    listener: &'static str,
    places: Arc<Semaphore>,
    shares: Arc<Shares>,
    open: Gauge,
    full: Counter,
    refused: Counter,
    /// When it was last said that there is no room.
    told: Option<Instant>,
}

/// A connection's place; free again when it is dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _share: Option<Share>,
    open: Gauge,
}

impl Room {
    pub fn new(listener: &'static str, most: usize) -> Self {
        Self {
            listener,
            places: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            shares: Arc::new(Shares { most: most.div_ceil(2), open: Mutex::default() }),
            open: metrics::gauge!(names::HTTP_CONNECTIONS, names::LABEL_LISTENER => listener),
            full: metrics::counter!(names::HTTP_CONNECTIONS_LIMIT_REACHED, names::LABEL_LISTENER => listener),
            refused: metrics::counter!(names::HTTP_CONNECTIONS_REFUSED, names::LABEL_LISTENER => listener),
            told: None,
        }
    }

    /// Waits until there is room for one more. Nothing is lost if it is dropped and called again.
    pub async fn free(&mut self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
                return permit;
            }
            self.tell_full();
            // It is never closed.
            if let Ok(permit) = Arc::clone(&self.places).acquire_owned().await {
                return permit;
            }
        }
    }

    /// The place of a connection from this address; `None`, and counted, if the address has as many as one
    /// may have. Proxies and this machine itself connect for many others.
    pub fn take(&self, permit: OwnedSemaphorePermit, address: IpAddr, trusted: bool) -> Option<Place> {
        let many = trusted || address.to_canonical().is_loopback();
        let share = if many { None } else { Some(self.shares.take(address.into())) };
        if matches!(share, Some(None)) {
            self.refused.increment(1);
            return None;
        }
        self.open.increment(1.0);
        Some(Place { _permit: permit, _share: share.flatten(), open: self.open.clone() })
    }

    fn tell_full(&mut self) {
        const SECOND: Duration = Duration::from_secs(1);
        self.full.increment(1);
        if self.told.is_none_or(|told| told.elapsed() >= SECOND) {
            self.told = Some(Instant::now());
            tracing::warn!(
                listener = self.listener,
                "as many connections are open as are allowed, more wait"
            );
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}

/// How many connections each address has: no more entries than there are connections.
struct Shares {
    /// Half of all, so that nobody alone shuts everybody else out.
    most: usize,
    open: Mutex<HashMap<Network, usize>>,
}

struct Share {
    network: Network,
    shares: Arc<Shares>,
}

impl Shares {
    fn take(self: &Arc<Self>, network: Network) -> Option<Share> {
        let mut open = self.open.lock();
        let has = open.entry(network).or_default();
        if *has >= self.most {
            return None;
        }
        *has += 1;
        Some(Share { network, shares: Arc::clone(self) })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Entry::Occupied(mut has) = self.shares.open.lock().entry(self.network) {
            *has.get_mut() -= 1;
            if *has.get() == 0 {
                has.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn take(room: &mut Room, address: &str, trusted: bool) -> Option<Place> {
        let permit = room.free().await;
        room.take(permit, address.parse().unwrap(), trusted)
    }

    #[tokio::test]
    async fn one_address_has_half_of_all_at_most_and_leaves_room_for_others() {
        let mut room = Room::new("test", 4);
        let of_one = [take(&mut room, "192.0.2.1", false).await, take(&mut room, "192.0.2.1", false).await];
        assert!(of_one.iter().all(Option::is_some));
        assert!(take(&mut room, "::ffff:192.0.2.1", false).await.is_none());
        let other = take(&mut room, "192.0.2.2", false).await;
        assert!(other.is_some());
        drop(of_one);
        assert!(take(&mut room, "192.0.2.1", false).await.is_some());
        drop(other);
        assert!(room.shares.open.lock().is_empty(), "addresses are remembered after their connections");
    }

    #[tokio::test]
    async fn a_network_of_ipv6_is_one_address() {
        let mut room = Room::new("test", 2);
        let held = take(&mut room, "2001:db8::1", false).await;
        assert!(held.is_some() && take(&mut room, "2001:db8::2", false).await.is_none());
        assert!(take(&mut room, "2001:db8:0:1::1", false).await.is_some());
    }

    #[tokio::test]
    async fn proxies_and_this_machine_may_have_all() {
        for (address, trusted) in [("192.0.2.1", true), ("127.0.0.1", false), ("::1", false)] {
            let mut room = Room::new("test", 2);
            let held = [take(&mut room, address, trusted).await, take(&mut room, address, trusted).await];
            assert!(held.iter().all(Option::is_some), "{address}");
        }
    }
}
