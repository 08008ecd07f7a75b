//! An endpoint's load: peak EWMA of its latency, the calls in flight, and its failures.
//!
//! This follows Finagle's `PeakEwma`, as `tower::load::PeakEwma` does: a worse latency counts at once, a better
//! one slowly. Beyond it, a failure counts as a slow call, so that an endpoint that fails fast attracts nothing,
//! and calls in flight count by their age, because a hanging endpoint never reports a latency.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

// All of these are seconds.
/// The time constant of the decay. Finagle has 10 s, after which a healed endpoint stays unused for a minute.
const DECAY: f64 = 1.0;
/// Smaller differences are noise.
const FLOOR: f64 = 0.001;
/// The latency that a failed call counts as, at least; it doubles while failures follow each other, so that the
/// endpoint ends behind every one that answers, however slow.
const FAILURE: f64 = 1.0;
const FAILURE_MAX: f64 = 32.0;

#[derive(Clone)]
pub(crate) struct Load(Arc<Mutex<Estimate>>);

/// What a call says about its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered,
    Failed,
    /// There was no answer: it would have taken longer than this.
    Unknown,
}

struct Estimate {
    /// Latency in seconds, as of `at`.
    seconds: f64,
    at: Instant,
    in_flight: u32,
    /// The sum of the start times of the calls in flight, after `origin`.
    started: Duration,
    origin: Instant,
    last_answer: Option<Instant>,
}

impl Estimate {
    fn new(now: Instant) -> Self {
        Self { seconds: 0.0, at: now, in_flight: 0, started: Duration::ZERO, origin: now, last_answer: None }
    }

    fn begin(&mut self, now: Instant) {
        self.in_flight += 1;
        self.started += now.saturating_duration_since(self.origin);
    }

    fn end(&mut self, now: Instant, started: Instant, outcome: Outcome) {
        // The call may be of before a reset.
        self.in_flight = self.in_flight.saturating_sub(1);
        self.started = self.started.saturating_sub(started.saturating_duration_since(self.origin));
        let (took, (kept, latency)) = ((now - started).as_secs_f64(), self.decayed(now));
        let took = match outcome {
            Outcome::Answered => took,
            Outcome::Failed => took.max(latency * 2.0).clamp(FAILURE, FAILURE_MAX),
            Outcome::Unknown if took > latency => took,
            Outcome::Unknown => return,
        };
        if outcome == Outcome::Answered {
            self.last_answer = Some(now);
        }
        self.seconds = if took > self.seconds { took } else { latency + took * (1.0 - kept) };
        self.at = now;
    }

    /// The part of the estimate that is left, and the latency that it makes.
    fn decayed(&self, now: Instant) -> (f64, f64) {
        let kept = (-now.saturating_duration_since(self.at).as_secs_f64() / DECAY).exp();
        (kept, self.seconds * kept)
    }

    /// Seconds until one more call would be answered, were they served one after the other.
    fn cost(&self, now: Instant) -> f64 {
        // The mean latency of the calls in flight is at least their mean age.
        let mean_start = self.started.checked_div(self.in_flight).map(|start| self.origin + start);
        let age = mean_start.map_or(0.0, |start| now.saturating_duration_since(start).as_secs_f64());
        self.decayed(now).1.max(age).max(FLOOR) * f64::from(self.in_flight + 1)
    }
}

impl Load {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Estimate::new(Instant::now()))))
    }

    /// Counts a call as in flight until the guard is dropped.
    pub fn begin(&self) -> Flight {
        let started = Instant::now();
        self.0.lock().begin(started);
        Flight { load: self.clone(), started, outcome: Outcome::Unknown }
    }

    /// Forgets the past.
    pub fn reset(&self) {
        *self.0.lock() = Estimate::new(Instant::now());
    }

    pub fn has_answered_since(&self, time: Instant) -> bool {
        self.0.lock().last_answer.is_some_and(|answer| answer > time)
    }

    pub fn cost(&self) -> f64 {
        self.0.lock().cost(Instant::now())
    }
}

/// A call in flight.
pub(crate) struct Flight {
    load: Load,
    started: Instant,
    pub outcome: Outcome,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.load.0.lock().end(Instant::now(), self.started, self.outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An estimate after one call, and the time then.
    fn after(took: Duration, outcome: Outcome) -> (Estimate, Instant) {
        let origin = Instant::now();
        let mut estimate = Estimate::new(origin);
        estimate.begin(origin);
        estimate.end(origin + took, origin, outcome);
        (estimate, origin + took)
    }

    #[test]
    fn a_worse_latency_counts_at_once_and_decays_within_seconds() {
        let (slow, now) = after(Duration::from_millis(200), Outcome::Answered);
        assert!((slow.cost(now) - 0.2).abs() < 0.001);
        assert!(slow.cost(now + Duration::from_secs(6)) < 0.002);
    }

    #[test]
    fn an_endpoint_that_fails_fast_is_no_better_than_a_slow_one() {
        let (failing, now) = after(Duration::from_micros(100), Outcome::Failed);
        let (slow, then) = after(Duration::from_millis(100), Outcome::Answered);
        assert!(failing.cost(now) > slow.cost(then));
    }

    #[test]
    fn an_endpoint_that_keeps_failing_is_worse_than_the_slowest() {
        let (mut failing, now) = after(Duration::from_millis(1), Outcome::Failed);
        for _ in 0..100 {
            failing.begin(now);
            failing.end(now, now, Outcome::Failed);
        }
        let (slow, then) = after(Duration::from_secs(10), Outcome::Answered);
        assert!(failing.cost(now) > slow.cost(then) && failing.cost(now) <= FAILURE_MAX);
    }

    #[test]
    fn a_hanging_endpoint_costs_more_the_longer_its_calls_hang() {
        let now = Instant::now();
        let mut hanging = Estimate::new(now);
        hanging.begin(now);
        let early = hanging.cost(now + Duration::from_millis(1));
        assert!(hanging.cost(now + Duration::from_millis(100)) > 50.0 * early);
    }

    #[test]
    fn a_call_that_was_left_early_says_nothing() {
        let (mut slow, now) = after(Duration::from_millis(200), Outcome::Answered);
        let before = slow.cost(now);
        slow.begin(now);
        slow.end(now, now, Outcome::Unknown);
        assert!((slow.cost(now) - before).abs() < f64::EPSILON);
    }

    proptest! {
        #[test]
        fn a_cost_is_a_number_that_grows_with_the_calls_in_flight(
            steps in proptest::collection::vec((0..3u8, 0..3_000u64), 0..50),
        ) {
            let mut now = Instant::now();
            let mut estimate = Estimate::new(now);
            let mut flights = Vec::new();
            for (step, milliseconds) in steps {
                now += Duration::from_millis(milliseconds);
                match (step, flights.pop()) {
                    (0, started) => { flights.extend(started); flights.push(now); estimate.begin(now); }
                    (_, None) => {}
                    (1, Some(started)) => estimate.end(now, started, Outcome::Answered),
                    (_, Some(started)) => estimate.end(now, started, Outcome::Failed),
                }
                let cost = estimate.cost(now);
                prop_assert!(cost.is_finite() && cost >= FLOOR * (flights.len() + 1) as f64);
            }
        }
    }
}
