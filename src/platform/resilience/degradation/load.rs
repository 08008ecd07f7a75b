//! What the surfaces tell while they work: how many requests are in hand, and how many watched calls were slow.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Counts of the hot path: two additions a request.
pub(super) struct Load {
    /// A watched call that takes longer is slow.
    latency: Duration,
    in_flight: AtomicUsize,
    answered: AtomicU64,
    slow: AtomicU64,
    begun: Instant,
    /// Microseconds after `begun`: watched calls that began before are forgotten.
    since: AtomicU64,
}

impl Load {
    pub fn new(latency: Duration) -> Self {
        Self {
            latency,
            in_flight: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            slow: AtomicU64::new(0),
            begun: Instant::now(),
            since: AtomicU64::new(0),
        }
    }

    /// Requests in hand now.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Lets watched calls that have begun by now count no more.
    pub fn forget(&self) {
        self.since.store(self.at(Instant::now()), Ordering::Relaxed);
    }

    /// Watched calls so far: all, and the slow ones.
    fn counts(&self) -> Counts {
        // Slow ones first: a call is never slow before it is counted.
        let slow = self.slow.load(Ordering::Acquire);
        Counts { slow, answered: self.answered.load(Ordering::Relaxed) }
    }

    fn answered(&self, begun: Instant) {
        if self.at(begun) < self.since.load(Ordering::Relaxed) {
            return;
        }
        self.answered.fetch_add(1, Ordering::Relaxed);
        if begun.elapsed() > self.latency {
            self.slow.fetch_add(1, Ordering::Release);
        }
    }

    fn at(&self, time: Instant) -> u64 {
        time.saturating_duration_since(self.begun).as_micros() as u64
    }
}

/// A request in hand.
pub struct InFlight(Arc<Load>);

impl InFlight {
    pub(super) fn new(load: &Arc<Load>) -> Self {
        load.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call whose time is held against the objective. One whose caller left counts as well: it may have been
/// the waiting.
pub struct Watched {
    load: Arc<Load>,
    begun: Instant,
}

impl Watched {
    pub(super) fn new(load: &Arc<Load>) -> Self {
        Self { load: Arc::clone(load), begun: Instant::now() }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.load.answered(self.begun);
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    answered: u64,
    slow: u64,
}

/// The share of slow calls among the watched ones of a short time, told by looks at a steady pace.
pub(super) struct SlowShare {
    looks: VecDeque<Counts>,
    most: usize,
}

/// Of fewer calls nothing is said: one of three that was slow is no overload.
const FEWEST_CALLS: u64 = 20;

impl SlowShare {
    /// Over so many looks.
    pub fn over(looks: usize) -> Self {
        Self { looks: VecDeque::new(), most: looks }
    }

    /// Looks again: the share from 0 to 1.
    pub fn look(&mut self, load: &Load) -> f64 {
        let now = load.counts();
        let first = self.looks.front().copied().unwrap_or(now);
        self.looks.push_back(now);
        if self.looks.len() > self.most {
            self.looks.pop_front();
        }
        let answered = now.answered.saturating_sub(first.answered);
        let slow = now.slow.saturating_sub(first.slow);
        if answered < FEWEST_CALLS { 0.0 } else { slow as f64 / answered as f64 }
    }

    /// Begins anew.
    pub fn forget(&mut self) {
        self.looks.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many watched calls, all slow or none.
    fn calls(load: &Arc<Load>, count: usize, slow: bool) {
        let began = Instant::now() - if slow { load.latency * 2 } else { Duration::ZERO };
        (0..count).for_each(|_| load.answered(began));
    }

    fn load() -> Arc<Load> {
        let begun = Instant::now() - Duration::from_secs(60);
        Arc::new(Load { begun, ..Load::new(Duration::from_secs(1)) })
    }

    #[test]
    fn the_share_is_that_of_the_last_looks_and_of_enough_calls() {
        let (load, mut share) = (load(), SlowShare::over(3));
        assert_eq!(share.look(&load), 0.0);
        calls(&load, 19, true);
        assert_eq!(share.look(&load), 0.0);
        calls(&load, 19, false);
        assert_eq!(share.look(&load), 0.5);
        calls(&load, 38, false);
        assert_eq!(share.look(&load), 0.25);
        assert_eq!(share.look(&load), 0.0);
    }

    #[test]
    fn what_began_before_a_change_of_level_counts_no_more() {
        let (load, mut share) = (load(), SlowShare::over(20));
        share.look(&load);
        load.forget();
        share.forget();
        calls(&load, 100, true);
        assert_eq!(share.look(&load), 0.0);
        assert_eq!(load.counts(), Counts::default());
    }

    #[test]
    fn requests_are_in_flight_until_they_are_dropped() {
        let load = load();
        let two = [InFlight::new(&load), InFlight::new(&load)];
        assert_eq!(load.in_flight(), 2);
        drop(two);
        assert_eq!(load.in_flight(), 0);
    }
}
