//! The client-side throttle of Google's SRE book: a client does not send what the server would reject.

use crate::rolling::{Counts, Rolling};
use parking_lot::Mutex;
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(10);
const BUCKETS: usize = 40;
/// Twice as many calls are sent as are accepted, the book's value. With 1.5, a third of the calls being
/// rejected, as by one of three endpoints, would start to throttle.
const K: u64 = 2;
/// Fewer calls than this in the window prove nothing.
const CALLS_MIN: u64 = 10;
/// One call in this time is sent whatever the odds, so that a recovery is always noticed.
const PROBE: Duration = Duration::from_secs(1);

/// Adaptive throttling over the last 10 s: a call is held back with the probability
/// `max(0, (requests − K × accepts) / (requests + 1))`. Calls that were held back are requests too; a call in
/// flight is not one yet, or a burst would look as if all of it had been rejected.
///
/// After a full outage the rate `2 × (mean of accepts over 10 s)` grows by `e^(0.16 t)`: it doubles about every
/// four seconds.
///
/// Source: Google, "Site Reliability Engineering" (2016), chapter 21, "Client-Side Throttling".
#[derive(Debug)]
pub struct Throttle(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Requests, and those of them that were accepted.
    requests: Rolling<BUCKETS>,
    last_sent: Instant,
}

impl Throttle {
    pub fn new(now: Instant) -> Self {
        Self(Mutex::new(State { requests: Rolling::new(WINDOW, now), last_sent: now }))
    }

    /// Whether a call may be sent. `random` is uniform in 0..1.
    pub fn admit(&self, now: Instant, random: f64) -> bool {
        let State { requests, last_sent } = &mut *self.0.lock();
        let Counts { total, matched: accepted } = requests.sum(now);
        let refusal = total.saturating_sub(K * accepted) as f64 / (total + 1) as f64;
        let held_back = total >= CALLS_MIN && random < refusal;
        if held_back && now.saturating_duration_since(*last_sent) < PROBE {
            requests.add(now, 1, 0);
            return false;
        }
        *last_sent = now;
        true
    }

    /// Records the answer to a call that was sent: whether the server took it, whatever came of it then.
    pub fn answered(&self, now: Instant, accepted: bool) {
        self.0.lock().requests.add(now, 1, u64::from(accepted));
    }

    /// Forgets the past, because the server is known to be well again.
    pub fn reset(&self, now: Instant) {
        *self.0.lock() = Self::new(now).0.into_inner();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    /// Makes a call every 10 ms and returns how many were sent.
    fn run(throttle: &Throttle, start: Instant, calls: u32, accepts: impl Fn(u32) -> bool) -> u32 {
        let mut random = StdRng::seed_from_u64(7);
        let mut sent = 0;
        for call in 0..calls {
            let now = start + Duration::from_millis(10) * call;
            if throttle.admit(now, random.random()) {
                sent += 1;
                throttle.answered(now, accepts(call));
            }
        }
        sent
    }

    #[test]
    fn nothing_is_held_back_while_two_of_three_calls_are_accepted() {
        let start = Instant::now();
        assert_eq!(run(&Throttle::new(start), start, 5000, |call| call % 3 != 0), 5000);
    }

    #[test]
    fn a_burst_without_answers_yet_is_sent() {
        let start = Instant::now();
        let throttle = Throttle::new(start);
        assert!((0..1000).all(|_| throttle.admit(start, 0.0)));
    }

    #[test]
    fn about_twice_as_many_calls_are_sent_as_are_accepted() {
        let start = Instant::now();
        let throttle = Throttle::new(start);
        // A hundred calls a second, of which the server takes the first ten.
        let (mut sent, mut random) = (0, StdRng::seed_from_u64(7));
        for second in 0..100 {
            let now = start + Duration::from_secs(1) * second;
            let passed = (0..100).filter(|_| throttle.admit(now, random.random())).count();
            (0..passed).for_each(|call| throttle.answered(now, call < 10));
            sent += if second < 20 { 0 } else { passed };
        }
        assert!((80 * 15..80 * 25).contains(&sent), "{sent} sent of 80 times 10 that are accepted");
    }

    #[test]
    fn one_call_a_second_is_sent_while_none_is_accepted() {
        let start = Instant::now();
        let throttle = Throttle::new(start);
        run(&throttle, start, 3000, |_| false);
        let later = start + Duration::from_secs(30);
        let sent = (0..1000).filter(|call| throttle.admit(later + Duration::from_millis(10 * call), 0.0));
        assert_eq!(sent.count(), 10);
    }

    #[test]
    fn it_recovers_by_itself_and_at_once_when_reset() {
        let start = Instant::now();
        let throttle = Throttle::new(start);
        run(&throttle, start, 3000, |_| false);
        run(&throttle, start + Duration::from_secs(30), 6000, |_| true);
        let well = start + Duration::from_secs(90);
        assert_eq!(run(&throttle, well, 100, |_| true), 100);

        run(&throttle, well, 3000, |_| false);
        let later = well + Duration::from_secs(30);
        throttle.reset(later);
        assert_eq!(run(&throttle, later, 10, |_| false), 10);
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
