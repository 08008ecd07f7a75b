//! The breaker before a gateway: while it is known to be down, jobs wait without a call, and without spending an
//! attempt. When a breaker opens is the platform's matter; what counts as a failure of a gateway stands here.

use crate::platform::{
    queue::Outcome,
    resilience::{Breaker, BreakerConfig},
};
use parking_lot::Mutex;
use rand::Rng;
use std::time::{Duration, Instant};

/// Gateways are called by many workers or by few: half of 20 calls in ten seconds, or five in a row.
const WINDOW: Duration = Duration::from_secs(10);
const FEWEST: u64 = 20;
const IN_A_ROW: u32 = 5;
/// Of the time-out: what takes longer is about to fail.
const SLOW: f64 = 0.8;
/// Parked jobs come back over a time as long as the gateway has been away, within these bounds: the longer it
/// lasts the less they ask, and a gateway that returns is not met by all of them at once.
const SPREAD_MIN: Duration = Duration::from_secs(1);
const SPREAD_MAX: Duration = Duration::from_secs(60);

/// A gateway's breaker.
pub struct Guard {
    breaker: Breaker,
    /// Since when it has not worked.
    down_since: Mutex<Option<Instant>>,
}

impl Guard {
    /// `channel` names the breaker in metrics and lines; `timeout` is that of an attempt.
    pub fn new(channel: &'static str, timeout: Duration) -> Self {
        let config = BreakerConfig {
            window: WINDOW,
            fewest: FEWEST,
            in_a_row: IN_A_ROW,
            slow: timeout.mul_f64(SLOW),
            ..BreakerConfig::default()
        };
        Self { breaker: Breaker::new(channel, config), down_since: Mutex::new(None) }
    }

    /// Whether a call would be made now.
    ///
    /// # Errors
    /// It would not; it is worth another try after this time.
    pub fn ready(&self) -> Result<(), Duration> {
        // A permit that is dropped says nothing, and leaves the place to the call itself.
        self.breaker.admit().map(drop).map_err(|refused| self.back_in(refused.retry_after))
    }

    /// Makes the call, or parks the job.
    pub async fn call(&self, call: impl Future<Output = Outcome>) -> Outcome {
        let mut permit = match self.breaker.admit() {
            Ok(permit) => permit,
            Err(refused) => {
                let after = Some(self.back_in(refused.retry_after));
                return Outcome::Parked { reason: "breaker_open", after };
            }
        };
        let outcome = permit.watch(call).await;
        if is_failure(&outcome) {
            self.down_since.lock().get_or_insert_with(Instant::now);
            permit.fail();
        } else {
            *self.down_since.lock() = None;
            permit.succeed();
        }
        outcome
    }

    fn back_in(&self, probe_in: Duration) -> Duration {
        let down = self.down_since.lock().map_or(Duration::ZERO, |since| since.elapsed());
        let spread = down.clamp(SPREAD_MIN, SPREAD_MAX);
        probe_in + spread.mul_f64(rand::rng().random_range(0.0..1.0))
    }
}

/// Whether the gateway is to blame. One that refuses a message or limits us is well.
fn is_failure(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Retry { .. } | Outcome::Unknown { .. } => true,
        Outcome::Delivered | Outcome::Dead { .. } | Outcome::Parked { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: Outcome = Outcome::Retry { reason: "status_500", after: None };

    async fn calls(guard: &Guard, count: usize, outcome: &Outcome) -> usize {
        let mut made = 0;
        for _ in 0..count {
            guard
                .call(async {
                    made += 1;
                    outcome.clone()
                })
                .await;
        }
        made
    }

    #[tokio::test]
    async fn a_gateway_that_is_down_is_asked_no_more_and_jobs_are_parked() {
        let guard = Guard::new("sms", Duration::from_secs(5));
        assert_eq!(calls(&guard, 100, &FAILED).await, FEWEST as usize);
        assert!(matches!(guard.call(async { FAILED }).await, Outcome::Parked { reason: "breaker_open", .. }));
        let wait = guard.ready().unwrap_err();
        assert!(wait <= Duration::from_secs(2), "{wait:?}");
    }

    #[tokio::test]
    async fn what_a_gateway_refuses_or_puts_off_opens_nothing() {
        let guard = Guard::new("sms", Duration::from_secs(5));
        for outcome in
            [Outcome::Dead { reason: "status_422" }, Outcome::Parked { reason: "status_429", after: None }]
        {
            assert_eq!(calls(&guard, 100, &outcome).await, 100);
        }
        assert_eq!(guard.ready(), Ok(()));
    }

    #[test]
    fn parked_jobs_come_back_over_as_long_a_time_as_the_gateway_was_away_up_to_a_minute() {
        let guard = Guard::new("sms", Duration::from_secs(5));
        for (minutes, most) in [(0, 1), (10, 60)] {
            *guard.down_since.lock() = Instant::now().checked_sub(Duration::from_secs(60 * minutes));
            let waits: Vec<Duration> = (0..1000).map(|_| guard.back_in(Duration::ZERO)).collect();
            let longest = waits.iter().max().unwrap();
            let most = Duration::from_secs(most);
            assert!(*longest <= most && *longest > most / 2, "{longest:?}");
        }
    }
}
