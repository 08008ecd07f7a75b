//! Not sending what the other side would turn away: the client-side throttle. What counts as turned away
//! is the caller's to say.

use super::rolling::Rolling;
use parking_lot::Mutex;
use std::time::{Duration, Instant};

const SPAN: Duration = Duration::from_secs(10);
const BUCKETS: usize = 40;
/// Twice as many calls are sent as are accepted. The book's value: with 1.5 a third of the calls turned away,
/// as by one of three endpoints, would do; and of every two that are sent the other side has only one to
/// turn away, from which is learnt soon that it takes more again.
const K: u64 = 2;
/// Fewer calls than these in the span tell nothing: one that was turned away is not a rule.
const FEWEST: u64 = 10;
/// One call in this time is sent whatever the odds, so that it is always noticed when things are well again.
const PROBE: Duration = Duration::from_secs(1);

/// Adaptive throttling over the last 10 s: a call is not sent with the probability
/// `max(0, (requests − K × accepts) / (requests + 1))`, where calls that were not sent are requests, too. A
/// call that is on its way is none yet: a burst would look as if all of it were turned away.
///
/// From nothing accepted at all, what is sent doubles about every four seconds once things are well again:
/// the rate `2 × (mean of what was accepted over 10 s)` grows by `e^(0.16 t)`.
///
/// Source: Google, "Site Reliability Engineering" (2016), chapter 21, "Client-Side Throttling".
#[derive(Debug)]
pub struct Throttle(Mutex<State>);

#[derive(Debug)]
struct State {
    /// All requests, and those of them that were accepted.
    requests: Rolling<BUCKETS>,
    sent: Instant,
}

impl Throttle {
    /// One that has seen nothing yet.
    pub fn new(now: Instant) -> Self {
        Self(Mutex::new(State::new(now)))
    }

    /// Whether a call is to be sent; `random` is uniform in 0 to 1, without 1.
    pub fn admit(&self, now: Instant, random: f64) -> bool {
        let mut state = self.0.lock();
        let refused = random < state.refusal(now);
        if refused && now.saturating_duration_since(state.sent) < PROBE {
            state.requests.count(now);
            return false;
        }
        state.sent = now;
        true
    }

    /// The other side answered a call that was sent: whether it took it, whatever it made of it then.
    pub fn answered(&self, now: Instant, accepted: bool) {
        let mut state = self.0.lock();
        state.requests.count(now);
        if accepted {
            state.requests.count_some(now);
        }
    }

    /// Forgets everything: the other side is known to be well again.
    pub fn forget(&self, now: Instant) {
        *self.0.lock() = State::new(now);
    }
}

impl State {
    fn new(now: Instant) -> Self {
        Self { requests: Rolling::new(SPAN, now), sent: now }
    }

    /// The probability that a call is not sent.
    fn refusal(&mut self, now: Instant) -> f64 {
        let counts = self.requests.sum(now);
        if counts.all < FEWEST {
            return 0.0;
        }
        let surplus = counts.all.saturating_sub(K * counts.some);
        surplus as f64 / (counts.all + 1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    /// A call every 10 ms for so many, each accepted or not: how many were sent.
    fn run(throttle: &Throttle, begun: Instant, calls: u32, accepts: impl Fn(u32) -> bool) -> u32 {
        let mut random = StdRng::seed_from_u64(7);
        let mut sent = 0;
        for call in 0..calls {
            let now = begun + Duration::from_millis(10) * call;
            if throttle.admit(now, random.random()) {
                sent += 1;
                throttle.answered(now, accepts(call));
            }
        }
        sent
    }

    #[test]
    fn nothing_is_held_back_while_two_of_three_calls_are_accepted() {
        let begun = Instant::now();
        assert_eq!(run(&Throttle::new(begun), begun, 5000, |call| call % 3 != 0), 5000);
    }

    #[test]
    fn a_burst_that_nobody_has_answered_yet_is_sent() {
        let begun = Instant::now();
        let throttle = Throttle::new(begun);
        assert!((0..1000).all(|_| throttle.admit(begun, 0.0)));
    }

    #[test]
    fn about_twice_as_many_are_sent_as_are_accepted() {
        let begun = Instant::now();
        let throttle = Throttle::new(begun);
        // A hundred calls a second, of which the other side takes the first ten.
        let (mut sent, mut random) = (0, StdRng::seed_from_u64(7));
        for second in 0..100 {
            let now = begun + Duration::from_secs(1) * second;
            let passed = (0..100).filter(|_| throttle.admit(now, random.random())).count();
            (0..passed).for_each(|call| throttle.answered(now, call < 10));
            // Once it has learnt.
            sent += if second < 20 { 0 } else { passed };
        }
        assert!((80 * 15..80 * 25).contains(&sent), "{sent} sent of 80 times 10 that are accepted");
    }

    #[test]
    fn where_none_is_accepted_one_a_second_is_sent() {
        let begun = Instant::now();
        let throttle = Throttle::new(begun);
        run(&throttle, begun, 3000, |_| false);
        // Whatever the odds: 0 is below any probability.
        let later = begun + Duration::from_secs(30);
        let sent = (0..1000).filter(|call| throttle.admit(later + Duration::from_millis(10 * call), 0.0));
        assert_eq!(sent.count(), 10);
    }

    #[test]
    fn it_recovers_by_itself_and_at_once_when_told() {
        let begun = Instant::now();
        let throttle = Throttle::new(begun);
        run(&throttle, begun, 3000, |_| false);
        let later = begun + Duration::from_secs(30);
        run(&throttle, later, 6000, |_| true);
        let well = later + Duration::from_secs(60);
        assert_eq!(run(&throttle, well, 100, |_| true), 100);

        run(&throttle, well, 3000, |_| false);
        let told = well + Duration::from_secs(30);
        throttle.forget(told);
        assert_eq!(run(&throttle, told, 10, |_| false), 10);
    }

    #[test]
    fn few_calls_are_never_held_back() {
        let begun = Instant::now();
        let throttle = Throttle::new(begun);
        // One every two seconds: five in the span.
        assert!((0..100).all(|call| throttle.admit(begun + Duration::from_secs(2 * call), 0.0)));
    }

    proptest! {
        #[test]
        fn no_more_than_a_second_passes_between_calls_that_are_sent(
            pauses in proptest::collection::vec((0_u64..500, any::<bool>(), 0.0_f64..1.0), 1..500),
        ) {
            let mut now = Instant::now();
            let throttle = Throttle::new(now);
            let mut sent = now;
            for (pause, accept, random) in pauses {
                now += Duration::from_millis(pause);
                if throttle.admit(now, random) {
                    sent = now;
                    throttle.answered(now, accept);
                }
                prop_assert!(now - sent < PROBE);
            }
        }
    }
}
