//! What the layers measure: requests in flight, and how many watched requests were slow.

use crate::rolling::Rolling;
use parking_lot::Mutex;
use scopeguard::guard;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Watched requests are judged over this time.
const WINDOW: Duration = Duration::from_secs(2);
/// Fewer of them prove nothing: one slow request of three is no overload.
const REQUESTS_MIN: u64 = 20;

pub(super) struct Load {
    /// A watched request that takes longer is slow.
    latency: Duration,
    in_flight: AtomicUsize,
    /// Watched requests, and the slow ones.
    watched: Mutex<Rolling<20>>,
}

impl Load {
    pub fn new(latency: Duration) -> Self {
        let watched = Mutex::new(Rolling::new(WINDOW, Instant::now()));
        Self { latency, in_flight: AtomicUsize::new(0), watched }
    }

    /// Counts a request as in flight until the guard is dropped.
    pub fn enter(self: &Arc<Self>) -> impl Send + use<> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        guard(Arc::clone(self), |load| {
            load.in_flight.fetch_sub(1, Ordering::Relaxed);
        })
    }

    /// Measures a request until the guard is dropped. One whose caller left counts too: it may have been the
    /// waiting.
    pub fn watch(self: &Arc<Self>) -> impl Send + use<> {
        let started = Instant::now();
        guard(Arc::clone(self), move |load| load.finish(started, Instant::now()))
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The share of slow requests, from 0 to 1.
    pub fn slow_share(&self, now: Instant) -> f64 {
        let counts = self.watched.lock().sum(now);
        if counts.total < REQUESTS_MIN { 0.0 } else { counts.matched as f64 / counts.total as f64 }
    }

    /// Forgets the watched requests, those in flight included.
    pub fn reset(&self) {
        *self.watched.lock() = Rolling::new(WINDOW, Instant::now());
    }

    fn finish(&self, started: Instant, now: Instant) {
        let slow = now.saturating_duration_since(started) > self.latency;
        let mut watched = self.watched.lock();
        if started >= watched.started {
            watched.add(now, 1, u64::from(slow));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(load: &Load, start: Instant, requests: usize, took: Duration) {
        (0..requests).for_each(|_| load.finish(start, start + took));
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
