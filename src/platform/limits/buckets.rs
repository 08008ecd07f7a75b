//! Where buckets are kept: by client, in many small maps, each behind a lock of its own. A bucket that is full
//! again is the same as none, and is forgotten. How a bucket is counted stands in `gcra.rs`.

use super::gcra::{Moment, Rule, Used};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::atomic::{AtomicUsize, Ordering},
};

/// When each client's bucket is full again. The hasher has a random key of this process: nobody can choose
/// addresses that fall together.
type Shard<K> = HashMap<K, Moment, RandomState>;

/// The buckets of many clients, of at most `most` at once.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    shards: Box<[Mutex<Shard<K>>]>,
    hasher: RandomState,
    remembered: AtomicUsize,
    most: usize,
}

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub allowed: bool,
    pub used: Used,
}

impl<K: Clone + Eq + Hash> Buckets<K> {
    /// A shard is locked for as long as one request takes, or to look through it: some microseconds for a
    /// thousand clients.
    pub fn new(shards: usize, most: usize) -> Self {
        let shards = (0..shards.max(1)).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::new(), remembered: AtomicUsize::new(0), most }
    }

    /// Takes a request out of a client's bucket; `None` if the client is not known and there is no room for
    /// another. `now` is asked under the lock, so that time never goes backwards for a bucket.
    pub fn take(&self, client: &K, rule: &Rule, now: impl FnOnce() -> Moment) -> Option<Taken> {
        let mut shard = self.shards[self.index(client)].lock();
        let now = now();
        if let Some(full_at) = shard.get_mut(client) {
            return Some(take(full_at, rule, now));
        }
        self.reserve().then(|| {
            let mut full_at = rule.full_at(Used::NOTHING, now);
            let taken = take(&mut full_at, rule, now);
            shard.insert(client.clone(), full_at);
            taken
        })
    }

    /// How many clients are remembered, exactly.
    pub fn remembered(&self) -> usize {
        self.remembered.load(Ordering::Relaxed)
    }

    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Forgets the clients of one shard whose buckets are full, and gives memory back that is not needed.
    pub fn forget(&self, shard: usize, rule: &Rule, now: impl FnOnce() -> Moment) {
        let Some(shard) = self.shards.get(shard) else { return };
        let mut shard = shard.lock();
        let (now, before) = (now(), shard.len());
        shard.retain(|_, full_at| rule.used(*full_at, now) != Used::NOTHING);
        self.remembered.fetch_sub(before - shard.len(), Ordering::Relaxed);
        // Only when it is much too large: the clients come back, as a rule.
        if shard.capacity() > 4 * shard.len() {
            let room = 2 * shard.len();
            shard.shrink_to(room);
        }
    }

    /// Bytes that the maps take: a byte of the table's own beside each slot, of which 7 in 8 are used at most.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        let slots = |shard: &Mutex<Shard<K>>| shard.lock().capacity() * 8 / 7;
        self.shards.iter().map(slots).sum::<usize>() * (size_of::<(K, Moment)>() + 1)
    }

    fn index(&self, client: &K) -> usize {
        self.hasher.hash_one(client) as usize % self.shards.len()
    }

    /// Whether one more may be remembered: never more than `most`, however many ask at once.
    fn reserve(&self) -> bool {
        let more = |remembered| (remembered < self.most).then_some(remembered + 1);
        self.remembered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

/// Takes a request out of one bucket.
pub(super) fn take(full_at: &mut Moment, rule: &Rule, now: Moment) -> Taken {
    let used = rule.used(*full_at, now);
    match rule.take(used) {
        Some(used) => {
            *full_at = rule.full_at(used, now);
            Taken { allowed: true, used }
        }
        None => Taken { allowed: false, used },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::limits::config::PerClient;
    use std::time::Duration;

    const RULE: PerClient = PerClient { rate: 1, burst: 2 };

    fn forget(buckets: &Buckets<u64>, rule: &Rule, seconds: u64) {
        let now = rule.moment(Duration::from_secs(seconds));
        (0..buckets.shards()).for_each(|shard| buckets.forget(shard, rule, || now));
    }

    #[test]
    fn beyond_the_cap_new_clients_find_no_room_and_known_ones_keep_theirs() {
        let (rule, buckets) = (Rule::new(RULE), Buckets::new(4, 10));
        let now = || rule.moment(Duration::ZERO);
        let first: Vec<_> = (0..12).map(|client| buckets.take(&client, &rule, now)).collect();
        assert!(first[..10].iter().all(Option::is_some) && first[10..].iter().all(Option::is_none));
        assert!(buckets.take(&3, &rule, now).is_some_and(|taken| taken.allowed));
        assert!(buckets.take(&3, &rule, now).is_some_and(|taken| !taken.allowed));
        forget(&buckets, &rule, 1);
        assert_eq!(buckets.remembered(), 1);
        assert!(buckets.take(&11, &rule, || rule.moment(Duration::from_secs(1))).is_some());
    }

    #[test]
    fn a_million_clients_take_little_memory_and_give_it_back() {
        let (rule, buckets) = (Rule::new(RULE), Buckets::new(1280, 1_000_000));
        let nothing = buckets.bytes();
        for client in 0..1_000_000 {
            assert!(buckets.take(&client, &rule, || rule.moment(Duration::ZERO)).is_some());
        }
        assert_eq!(buckets.remembered(), 1_000_000);
        assert!(buckets.bytes() < 24_000_000, "{}", buckets.bytes());
        forget(&buckets, &rule, 0);
        assert_eq!(buckets.remembered(), 1_000_000);
        forget(&buckets, &rule, 1);
        assert_eq!((buckets.remembered(), buckets.bytes()), (0, nothing));
    }

    #[test]
    fn the_cap_holds_however_many_threads_come_at_once() {
        let (rule, buckets) = (Rule::new(RULE), Buckets::new(64, 1000));
        let found = std::thread::scope(|scope| {
            let thread = |thread: u64| {
                let (rule, buckets) = (&rule, &buckets);
                scope.spawn(move || {
                    let now = || rule.moment(Duration::ZERO);
                    (0..1000).filter(|n| buckets.take(&(thread << 20 | n), rule, now).is_some()).count()
                })
            };
            let threads: Vec<_> = (0..4).map(thread).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!((found, buckets.remembered()), (1000, 1000));
    }
}
