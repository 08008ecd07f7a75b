//! What the layers measure: requests in flight, and how many watched requests were slow.

use crate::rolling::Rolling;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Watched requests are judged over this time.
const WINDOW: Duration = Duration::from_secs(2);
/// Fewer of them prove nothing: one slow request of three is no overload.
const REQUESTS_MIN: u64 = 20;

pub(super) struct Load {
    /// A watched request that takes longer is slow.
    latency: Duration,
    in_flight: AtomicUsize,
    watched: Mutex<WatchedWindow>,
}

struct WatchedWindow {
    /// Requests that began earlier are not counted.
    since: Instant,
    requests: Rolling<20>,
}

impl WatchedWindow {
    fn new(now: Instant) -> Self {
        Self { since: now, requests: Rolling::new(WINDOW, now) }
    }
}

impl Load {
    pub fn new(latency: Duration) -> Self {
        let watched = Mutex::new(WatchedWindow::new(Instant::now()));
        Self { latency, in_flight: AtomicUsize::new(0), watched }
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Forgets the watched requests, those in flight included.
    pub fn reset(&self) {
        *self.watched.lock() = WatchedWindow::new(Instant::now());
    }

    /// The share of slow requests, from 0 to 1.
    pub fn slow_share(&self, now: Instant) -> f64 {
        let counts = self.watched.lock().requests.sum(now);
        if counts.total < REQUESTS_MIN { 0.0 } else { counts.matched as f64 / counts.total as f64 }
    }

    fn finished(&self, started: Instant, now: Instant) {
        let slow = now.saturating_duration_since(started) > self.latency;
        let mut watched = self.watched.lock();
        if started >= watched.since {
            watched.requests.add(now, 1, u64::from(slow));
        }
    }
}

/// A request in flight, until it is dropped.
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

/// A request whose time is measured until it is dropped. One whose caller left counts too: it may have been the
/// waiting.
pub struct Watched {
    load: Arc<Load>,
    started: Instant,
}

impl Watched {
    pub(super) fn new(load: &Arc<Load>) -> Self {
        Self { load: Arc::clone(load), started: Instant::now() }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.load.finished(self.started, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(load: &Load, start: Instant, requests: usize, took: Duration) {
        (0..requests).for_each(|_| load.finished(start, start + took));
    }

    #[test]
    fn the_share_is_taken_over_the_window_and_enough_requests() {
        let load = Load::new(Duration::from_millis(10));
        let start = Instant::now();
        let end = start + Duration::from_millis(100);
        finish(&load, start, 19, Duration::from_millis(11));
        assert!(load.slow_share(end).abs() < f64::EPSILON);
        finish(&load, start, 19, Duration::from_millis(9));
        assert!((load.slow_share(end) - 0.5).abs() < f64::EPSILON);
        assert!(load.slow_share(end + WINDOW).abs() < f64::EPSILON);
    }

    #[test]
    fn requests_that_began_before_a_reset_are_not_counted() {
        let load = Load::new(Duration::from_millis(10));
        let before = Instant::now();
        load.reset();
        finish(&load, before, 100, Duration::from_secs(1));
        assert!(load.slow_share(before + Duration::from_secs(1)).abs() < f64::EPSILON);
    }
}
