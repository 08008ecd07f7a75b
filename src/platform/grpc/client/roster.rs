//! Which endpoints there are, and which of them are healthy: told by discovery, by probes and by calls that
//! fail. Who takes a call is chosen in `balance`, how an endpoint is probed stands in `probe`.

use super::{
    balance::{Address, Balance, Chosen, Connected},
    load::Load,
    metrics::EndpointGauges,
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport;

/// The most endpoints of a target; each costs a connection and four probes a second.
pub(super) const MOST: usize = 1000;

/// The endpoints of one target.
pub(super) struct Roster {
    target: &'static str,
    state: Mutex<State>,
    settled: CancellationToken,
    gauges: EndpointGauges,
}

struct State {
    balance: Balance,
    members: BTreeMap<Address, Member>,
}

struct Member {
    health: Health,
    probe_now: Arc<Notify>,
    /// Ends its probes.
    _probes: DropGuard,
}

enum Health {
    /// Not probed yet, so that it takes no call.
    New,
    Up(Connected),
    Down,
}

/// What a probe needs to know of its endpoint.
pub(super) struct Watched {
    pub address: Address,
    pub probe_now: Arc<Notify>,
    pub ended: CancellationToken,
}

impl Roster {
    /// Of the target that metrics and lines name so; knows no endpoint yet.
    pub fn new(target: &'static str) -> Self {
        let state = State { balance: Balance::new(), members: BTreeMap::new() };
        let gauges = EndpointGauges::new(target);
        Self { target, state: Mutex::new(state), settled: CancellationToken::new(), gauges }
    }

    /// Cancelled as soon as an endpoint is healthy, or every one of the first ones is known not to be.
    pub fn settled(&self) -> &CancellationToken {
        &self.settled
    }

    /// The endpoint for a call, unless none is healthy.
    pub fn choose(&self) -> Option<Chosen> {
        self.state.lock().balance.choose()
    }

    /// Takes these for all that there are. Those that are gone take no further call; those that are new are
    /// returned, to be probed.
    pub fn take_in(&self, found: &BTreeSet<String>) -> Vec<Watched> {
        if found.len() > MOST {
            tracing::warn!(rpc_target = self.target, found = found.len(), most = MOST, "too many endpoints");
        }
        let found: BTreeSet<Address> =
            found.iter().take(MOST).map(|address| address.as_str().into()).collect();
        let mut state = self.state.lock();
        let State { balance, members } = &mut *state;
        members.retain(|address, _| {
            let stays = found.contains(address);
            if !stays {
                balance.remove(address);
                tracing::info!(rpc_target = self.target, endpoint = %address, "endpoint is gone");
            }
            stays
        });
        let mut watched = Vec::new();
        for address in found {
            if members.contains_key(&address) {
                continue;
            }
            let (ended, probe_now) = (CancellationToken::new(), Arc::new(Notify::new()));
            let probes = ended.clone().drop_guard();
            let member = Member { health: Health::New, probe_now: Arc::clone(&probe_now), _probes: probes };
            members.insert(Arc::clone(&address), member);
            watched.push(Watched { address, probe_now, ended });
        }
        self.tell(&state);
        watched
    }

    /// The endpoint with its connection, if it is healthy.
    pub fn healthy(&self, address: &Address) -> Option<Connected> {
        match &self.state.lock().members.get(address)?.health {
            Health::Up(endpoint) => Some(endpoint.clone()),
            Health::New | Health::Down => None,
        }
    }

    /// The endpoint answers over this connection, which it takes calls on from here on.
    pub fn is_up(&self, address: &Address, channel: transport::Channel) {
        let mut state = self.state.lock();
        let State { balance, members } = &mut *state;
        let Some(member) = members.get_mut(address) else { return };
        if matches!(member.health, Health::Up(_)) {
            return;
        }
        let endpoint = Connected { address: Arc::clone(address), channel, load: Load::new() };
        balance.insert(endpoint.clone());
        member.health = Health::Up(endpoint);
        tracing::info!(rpc_target = self.target, endpoint = %address, "endpoint is up");
        self.tell(&state);
    }

    /// The endpoint takes no further call until it answers again.
    pub fn is_down(&self, address: &Address, reason: &'static str) {
        self.remove(&mut self.state.lock(), address, reason);
    }

    /// A call found no connection: unless the endpoint has a new one by now, it takes no further call until
    /// it answers, which is asked at once.
    pub fn is_unreachable(&self, endpoint: &Connected) {
        let mut state = self.state.lock();
        let Some(member) = state.members.get(&endpoint.address) else { return };
        member.probe_now.notify_one();
        if matches!(&member.health, Health::Up(known) if known.load.is(&endpoint.load)) {
            self.remove(&mut state, &endpoint.address, "no connection");
        }
    }

    /// A call lost its connection: whether the endpoint is well is asked at once.
    pub fn is_suspect(&self, endpoint: &Connected) {
        if let Some(member) = self.state.lock().members.get(&endpoint.address) {
            member.probe_now.notify_one();
        }
    }

    fn remove(&self, state: &mut State, address: &Address, reason: &'static str) {
        let Some(member) = state.members.get_mut(address) else { return };
        if !matches!(member.health, Health::Down) {
            state.balance.remove(address);
            member.health = Health::Down;
            tracing::warn!(rpc_target = self.target, endpoint = %address, reason, "endpoint is down");
            self.tell(state);
        }
    }

    /// Counts the endpoints, and whether the first ones are known.
    fn tell(&self, state: &State) {
        let (mut new, mut up, mut down) = (0, 0, 0);
        for member in state.members.values() {
            match member.health {
                Health::New => new += 1,
                Health::Up(_) => up += 1,
                Health::Down => down += 1,
            }
        }
        self.gauges.set(new, up, down);
        if up > 0 || (new == 0 && down > 0) {
            self.settled.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(addresses: &[&str]) -> BTreeSet<String> {
        addresses.iter().map(|address| (*address).to_owned()).collect()
    }

    fn channel() -> transport::Channel {
        transport::Endpoint::from_static("http://127.0.0.1:1").connect_lazy()
    }

    fn chosen(roster: &Roster) -> Option<Connected> {
        roster.choose().map(|chosen| chosen.endpoint)
    }

    #[tokio::test]
    async fn a_found_endpoint_takes_no_call_before_it_has_answered() {
        let roster = Roster::new("test");
        let [a, b] = &roster.take_in(&set(&["a:1", "b:1"]))[..] else { panic!("two are new") };
        assert!(chosen(&roster).is_none() && !roster.settled().is_cancelled());
        roster.is_down(&a.address, "as the test wants");
        assert!(!roster.settled().is_cancelled());
        roster.is_up(&b.address, channel());
        assert!(roster.settled().is_cancelled());
        assert_eq!(chosen(&roster).map(|endpoint| endpoint.address), Some(b.address.clone()));
        assert!(roster.take_in(&set(&["a:1", "b:1"])).is_empty());
    }

    #[tokio::test]
    async fn what_discovery_no_longer_finds_is_neither_called_nor_probed() {
        let roster = Roster::new("test");
        let watched = roster.take_in(&set(&["a:1"])).remove(0);
        roster.is_up(&watched.address, channel());
        assert_eq!(roster.take_in(&set(&["b:1"])).len(), 1);
        assert!(chosen(&roster).is_none() && watched.ended.is_cancelled());
        roster.is_up(&watched.address, channel());
        assert!(chosen(&roster).is_none());
    }

    #[tokio::test]
    async fn a_late_fault_of_an_old_connection_does_not_take_down_a_new_one() {
        let roster = Roster::new("test");
        let watched = roster.take_in(&set(&["a:1"])).remove(0);
        roster.is_up(&watched.address, channel());
        let old = chosen(&roster).unwrap();
        roster.is_unreachable(&old);
        assert!(chosen(&roster).is_none());
        roster.is_up(&watched.address, channel());
        roster.is_unreachable(&old);
        assert!(chosen(&roster).is_some());
        watched.probe_now.notified().await;
    }

    #[tokio::test]
    async fn a_target_without_bounds_is_bounded() {
        let many = (0..=MOST).map(|port| format!("a:{port}")).collect();
        assert_eq!(Roster::new("test").take_in(&many).len(), MOST);
    }
}
