//! How much work an endpoint seems to have: peak-EWMA of its answers' times, the calls in flight, and what
//! failed. Which endpoint takes a call is decided in `balance`.

use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How fast an estimate fades. Finagle fades over 10 s; an endpoint that is not chosen learns nothing new,
/// so that a healed one would stay unused for a minute: with 1 s it is tried again after some seconds.
const FADE: Duration = Duration::from_secs(1);
/// Differences below this are the network's noise, and endpoints that were never called are no better.
const FLOOR: Duration = Duration::from_millis(1);
/// What a failed call counts as at least: an endpoint that fails fast is not a fast one.
const FAILURE: Duration = Duration::from_secs(1);

/// One endpoint's load. Cheap to clone.
#[derive(Clone)]
pub(super) struct Load(Arc<Mutex<Estimate>>);

/// What a call came to, as far as it tells of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered,
    Failed,
    /// Its caller left: it would have taken longer.
    Left,
}

/// After Finagle's `PeakEwma` (as `tower::load::PeakEwma`): a worse time counts at once, a better one slowly.
/// Beyond it, failures count, and so do calls in flight before they end: a hanging endpoint never answers.
struct Estimate {
    /// Seconds, as of `at`.
    seconds: f64,
    at: Instant,
    in_flight: u32,
    /// The sum of when they began, in seconds after `origin`.
    begun: f64,
    origin: Instant,
    /// When an answer came last.
    answered: Option<Instant>,
}

impl Estimate {
    fn new(now: Instant) -> Self {
        Self { seconds: 0.0, at: now, in_flight: 0, begun: 0.0, origin: now, answered: None }
    }

    fn since_origin(&self, now: Instant) -> f64 {
        now.saturating_duration_since(self.origin).as_secs_f64()
    }

    fn begin(&mut self, now: Instant) {
        self.in_flight += 1;
        self.begun += self.since_origin(now);
    }

    fn end(&mut self, now: Instant, began: Instant, outcome: Outcome) {
        self.in_flight = self.in_flight.saturating_sub(1);
        // Begins anew with nothing in flight, so that rounding never adds up.
        self.begun = if self.in_flight == 0 { 0.0 } else { self.begun - self.since_origin(began) };
        let took = now.saturating_duration_since(began);
        match outcome {
            Outcome::Answered => self.learn(now, took),
            Outcome::Failed => self.learn(now, took.max(FAILURE)),
            Outcome::Left if took.as_secs_f64() > self.faded(now) => self.learn(now, took),
            Outcome::Left => {}
        }
    }

    fn learn(&mut self, now: Instant, took: Duration) {
        let kept = self.kept(now);
        let took = took.as_secs_f64();
        self.seconds = if took > self.seconds { took } else { self.seconds * kept + took * (1.0 - kept) };
        self.at = now;
    }

    /// How much of the estimate is left since it was made.
    fn kept(&self, now: Instant) -> f64 {
        (-now.saturating_duration_since(self.at).as_secs_f64() / FADE.as_secs_f64()).exp()
    }

    fn faded(&self, now: Instant) -> f64 {
        self.seconds * self.kept(now)
    }

    /// Seconds until one more call would be answered, were they served one after the other.
    fn cost(&self, now: Instant) -> f64 {
        let in_flight = f64::from(self.in_flight);
        // The mean time of the calls in flight is at least their mean age.
        let age = if self.in_flight == 0 { 0.0 } else { self.since_origin(now) - self.begun / in_flight };
        self.faded(now).max(age).max(FLOOR.as_secs_f64()) * (in_flight + 1.0)
    }
}

impl Load {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Estimate::new(Instant::now()))))
    }

    /// Counts a call as in flight until what is returned is dropped.
    pub fn begin(&self) -> Flight {
        let began = Instant::now();
        self.0.lock().begin(began);
        Flight { load: self.clone(), began, outcome: Outcome::Left }
    }

    /// Whether anything was answered after that time.
    pub fn has_answered_since(&self, time: Instant) -> bool {
        self.0.lock().answered.is_some_and(|answered| answered > time)
    }

    /// Whether it is the very same.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// See [`Estimate::cost`].
    pub fn cost(&self) -> f64 {
        self.0.lock().cost(Instant::now())
    }
}

/// A call in flight.
pub(super) struct Flight {
    load: Load,
    began: Instant,
    outcome: Outcome,
}

impl Flight {
    /// What it will have come to; the last word counts.
    pub fn set(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// Something of an answer is there.
    pub fn answers(&self) {
        self.load.0.lock().answered = Some(Instant::now());
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.load.0.lock().end(Instant::now(), self.began, self.outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An estimate that has learned of one call, and when.
    fn after(took: Duration, outcome: Outcome) -> (Estimate, Instant) {
        let origin = Instant::now();
        let mut estimate = Estimate::new(origin);
        estimate.begin(origin);
        estimate.end(origin + took, origin, outcome);
        (estimate, origin + took)
    }

    #[test]
    fn a_worse_time_counts_at_once_and_fades_within_seconds() {
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
    fn a_hanging_endpoint_costs_more_the_longer_its_calls_hang() {
        let now = Instant::now();
        let mut hanging = Estimate::new(now);
        hanging.begin(now);
        let early = hanging.cost(now + Duration::from_millis(1));
        assert!(hanging.cost(now + Duration::from_millis(100)) > 50.0 * early);
    }

    #[test]
    fn a_caller_who_leaves_early_tells_nothing_good() {
        let (mut slow, now) = after(Duration::from_millis(200), Outcome::Answered);
        let before = slow.cost(now);
        slow.begin(now);
        slow.end(now, now, Outcome::Left);
        assert!((slow.cost(now) - before).abs() < f64::EPSILON);
    }

    proptest! {
        #[test]
        fn a_cost_is_a_number_that_grows_with_what_is_in_flight(steps in proptest::collection::vec((0..3u8, 0..3_000u64), 0..50)) {
            let mut now = Instant::now();
            let mut estimate = Estimate::new(now);
            let mut flights = Vec::new();
            for (step, milliseconds) in steps {
                now += Duration::from_millis(milliseconds);
                match (step, flights.pop()) {
                    (0, began) => { flights.extend(began); flights.push(now); estimate.begin(now); }
                    (_, None) => {}
                    (1, Some(began)) => estimate.end(now, began, Outcome::Answered),
                    (_, Some(began)) => estimate.end(now, began, Outcome::Failed),
                }
                prop_assert_eq!(estimate.in_flight as usize, flights.len());
                let cost = estimate.cost(now);
                prop_assert!(cost.is_finite() && cost >= FLOOR.as_secs_f64() * (flights.len() + 1) as f64);
            }
        }
    }
}
