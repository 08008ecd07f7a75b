//! The arithmetic of retries: when the next attempt is due, and when there is none.

use super::{Outcome, Status};
use rand::Rng;
use std::time::Duration;

/// A gateway's `Retry-After` is honoured up to this.
const GATEWAY_CAP: Duration = Duration::from_secs(3600);

pub use super::config::{OnUnknown, RetryConfig};

/// What is stored of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) status: Status,
    /// In how long the job is due again, for a status that is not final.
    pub(super) delay: Duration,
    /// Whether the attempt counts against the maximum.
    pub(super) spent: bool,
    /// `delivered`, `retry`, `parked`, `dead` or `unknown`: the metric's label, kept in the history.
    pub(super) outcome: &'static str,
    pub(super) reason: Option<&'static str>,
}

/// Decides on the outcome of attempt number `attempt` (from 1) of an asynchronous job.
pub(super) fn decide(policy: &RetryConfig, attempt: u32, outcome: &Outcome) -> Decision {
    match *outcome {
        Outcome::Delivered => done(Status::Delivered, "delivered", None),
        Outcome::Dead { reason } => done(Status::Dead, "dead", Some(reason)),
        Outcome::Parked { reason, after } => {
            let delay = after.map_or_else(|| backoff(policy, 1), |after| after.min(GATEWAY_CAP));
            Decision {
                status: Status::Retrying,
                delay,
                spent: false,
                outcome: "parked",
                reason: Some(reason),
            }
        }
        Outcome::Unknown { reason } if policy.on_unknown == OnUnknown::Hold => {
            done(Status::Unknown, "unknown", Some(reason))
        }
        Outcome::Unknown { reason } => again(policy, attempt, "unknown", reason, None),
        Outcome::Retry { reason, after } => again(policy, attempt, "retry", reason, after),
    }
}

/// Decides on the one attempt of a synchronous job: the caller waits, so nothing is retried.
pub(super) fn decide_now(outcome: &Outcome) -> Decision {
    match *outcome {
        Outcome::Delivered => done(Status::Delivered, "delivered", None),
        Outcome::Unknown { reason } => done(Status::Unknown, "unknown", Some(reason)),
        Outcome::Dead { reason } | Outcome::Retry { reason, .. } | Outcome::Parked { reason, .. } => {
            done(Status::Dead, "dead", Some(reason))
        }
    }
}

fn done(status: Status, outcome: &'static str, reason: Option<&'static str>) -> Decision {
    Decision { status, delay: Duration::ZERO, spent: true, outcome, reason }
}

fn again(
    policy: &RetryConfig,
    attempt: u32,
    outcome: &'static str,
    reason: &'static str,
    after: Option<Duration>,
) -> Decision {
    if attempt >= policy.max_attempts {
        // The attempt keeps saying that it may have been sent; the job is a dead letter either way.
        let outcome = if outcome == "unknown" { outcome } else { "dead" };
        return done(Status::Dead, outcome, Some(reason));
    }
    let delay = after.map_or_else(|| backoff(policy, attempt), |after| after.min(GATEWAY_CAP));
    Decision { status: Status::Retrying, delay, spent: true, outcome, reason: Some(reason) }
}

/// Exponential backoff with full jitter: uniform in 0 … min(max, base × 2^(attempt − 1)).
/// Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).
fn backoff(policy: &RetryConfig, attempt: u32) -> Duration {
    let ceiling = ceiling(policy, attempt).as_millis() as u64;
    Duration::from_millis(rand::rng().random_range(0..=ceiling))
}

fn ceiling(policy: &RetryConfig, attempt: u32) -> Duration {
    let factor =
        1_u32.checked_shl(attempt.saturating_sub(1)).filter(|factor| *factor > 0).unwrap_or(u32::MAX);
    policy.base_delay.saturating_mul(factor).min(policy.max_delay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy(on_unknown: OnUnknown) -> RetryConfig {
        RetryConfig {
            max_attempts: 16,
            base_delay: Duration::from_secs(5),
            max_delay: Duration::from_secs(3600),
            on_unknown,
        }
    }

    proptest! {
        #[test]
        fn a_retry_never_waits_longer_than_the_ceiling_of_its_attempt(attempt in 1_u32..16) {
            let policy = policy(OnUnknown::Retry);
            let decision = decide(&policy, attempt, &Outcome::Retry { reason: "x", after: None });
            prop_assert_eq!(decision.status, Status::Retrying);
            prop_assert!(decision.delay <= ceiling(&policy, attempt));
            prop_assert!(ceiling(&policy, attempt) <= ceiling(&policy, attempt + 1));
        }

        #[test]
        fn the_ceiling_holds_for_any_policy_and_attempt(attempt in 0_u32.., base in 0_u64..u64::MAX / 2, max in 0_u64..u64::MAX / 2) {
            let policy = RetryConfig {
                base_delay: Duration::from_millis(base),
                max_delay: Duration::from_millis(max),
                ..policy(OnUnknown::Retry)
            };
            prop_assert!(ceiling(&policy, attempt) <= policy.max_delay);
        }

        #[test]
        fn a_gateways_wish_wins_up_to_an_hour(seconds in 0_u64..1_000_000) {
            let after = Some(Duration::from_secs(seconds));
            let wished = Duration::from_secs(seconds.min(3600));
            let retry = decide(&policy(OnUnknown::Retry), 1, &Outcome::Retry { reason: "x", after });
            let parked = decide(&policy(OnUnknown::Retry), 1, &Outcome::Parked { reason: "x", after });
            prop_assert_eq!((retry.delay, parked.delay), (wished, wished));
        }
    }

    #[test]
    fn the_last_attempt_ends_the_job() {
        let retry = decide(&policy(OnUnknown::Retry), 16, &Outcome::Retry { reason: "x", after: None });
        assert_eq!((retry.status, retry.outcome), (Status::Dead, "dead"));
        let unknown = decide(&policy(OnUnknown::Retry), 16, &Outcome::Unknown { reason: "x" });
        assert_eq!((unknown.status, unknown.outcome), (Status::Dead, "unknown"));
    }

    #[test]
    fn a_parked_attempt_costs_nothing_and_never_ends_the_job() {
        let decision = decide(&policy(OnUnknown::Retry), 99, &Outcome::Parked { reason: "x", after: None });
        assert_eq!((decision.status, decision.spent), (Status::Retrying, false));
    }

    #[test]
    fn an_unknown_outcome_waits_for_a_person_only_under_hold() {
        assert_eq!(
            decide(&policy(OnUnknown::Hold), 1, &Outcome::Unknown { reason: "x" }).status,
            Status::Unknown
        );
        assert_eq!(
            decide(&policy(OnUnknown::Retry), 1, &Outcome::Unknown { reason: "x" }).status,
            Status::Retrying
        );
    }

    #[test]
    fn a_synchronous_attempt_is_never_retried() {
        let retry = Outcome::Retry { reason: "x", after: None };
        let parked = Outcome::Parked { reason: "x", after: None };
        assert_eq!(decide_now(&retry).status, Status::Dead);
        assert_eq!(decide_now(&parked).status, Status::Dead);
        assert_eq!(decide_now(&Outcome::Unknown { reason: "x" }).status, Status::Unknown);
    }
}
