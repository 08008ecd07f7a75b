//! What follows an attempt: when the next one is due, and when there is none.

use crate::{AttemptOutcome, JobState, OnUnknown, Outcome, RetryConfig};
use rand::Rng as _;
use std::time::Duration;

/// A provider's wish to wait is honoured up to this.
const LONGEST_WISH: Duration = Duration::from_secs(3600);

/// What is stored of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) state: JobState,
    /// In how long the job is due again, if its state is not final.
    pub(crate) delay: Duration,
    /// Spent attempts, and attempts of unknown outcome.
    pub(crate) spent: u32,
    pub(crate) unknowns: u32,
    pub(crate) outcome: AttemptOutcome,
    pub(crate) reason: Option<&'static str>,
}

/// Decides after an attempt. `spent` counts it already, `unknowns` does not; with `sync` the caller waits, and nothing
/// is retried.
pub(crate) fn decide(
    config: &RetryConfig,
    spent: u32,
    unknowns: u32,
    sync: bool,
    outcome: &Outcome,
) -> Decision {
    let unknown = matches!(outcome, Outcome::Unknown { .. });
    let unknowns_now = unknowns + u32::from(unknown);
    let decision = |state, outcome, reason| Decision {
        state,
        delay: Duration::ZERO,
        spent,
        unknowns: unknowns_now,
        outcome,
        reason,
    };
    match *outcome {
        Outcome::Completed { .. } => decision(JobState::Completed, AttemptOutcome::Completed, None),
        Outcome::Failed { reason } => decision(JobState::Failed, AttemptOutcome::Failed, Some(reason)),
        Outcome::Unknown { reason }
            if sync || config.on_unknown == OnUnknown::Hold || unknowns >= config.max_unknown =>
        {
            decision(JobState::Unknown, AttemptOutcome::Unknown, Some(reason))
        }
        Outcome::Retry { reason, .. } | Outcome::Snooze { reason, .. } if sync => {
            decision(JobState::Failed, AttemptOutcome::Failed, Some(reason))
        }
        Outcome::Snooze { reason, after } => {
            let delay = after.map_or_else(|| backoff(config, 1), |after| after.min(LONGEST_WISH));
            let spent = spent.saturating_sub(1);
            Decision { delay, spent, ..decision(JobState::Retrying, AttemptOutcome::Snoozed, Some(reason)) }
        }
        Outcome::Retry { reason, .. } if spent >= config.max_attempts => {
            decision(JobState::Failed, AttemptOutcome::Failed, Some(reason))
        }
        // The attempt goes on saying that it may have taken effect; the job has failed either way.
        Outcome::Unknown { reason } if spent >= config.max_attempts => {
            decision(JobState::Failed, AttemptOutcome::Unknown, Some(reason))
        }
        Outcome::Retry { reason, after } => {
            let delay = after.map_or_else(|| backoff(config, spent), |after| after.min(LONGEST_WISH));
            Decision { delay, ..decision(JobState::Retrying, AttemptOutcome::Retry, Some(reason)) }
        }
        Outcome::Unknown { reason } => {
            let delay = backoff(config, spent);
            Decision { delay, ..decision(JobState::Retrying, AttemptOutcome::Unknown, Some(reason)) }
        }
    }
}

/// Exponential backoff with full jitter: uniform in 0 … min(max, base × 2^(attempt − 1)).
/// Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).
fn backoff(config: &RetryConfig, attempt: u32) -> Duration {
    let ceiling = ceiling(config, attempt).as_millis() as u64;
    Duration::from_millis(rand::rng().random_range(0..=ceiling))
}

fn ceiling(config: &RetryConfig, attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    config.base_delay.saturating_mul(1 << doublings).min(config.max_delay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RETRY: Outcome = Outcome::Retry { reason: "r", after: None };
    const UNKNOWN: Outcome = Outcome::Unknown { reason: "u" };

    fn config(on_unknown: OnUnknown) -> RetryConfig {
        RetryConfig {
            max_attempts: 4,
            base_delay: Duration::from_secs(5),
            max_delay: Duration::from_secs(3600),
            on_unknown,
            max_unknown: 2,
        }
    }

    fn after(spent: u32, unknowns: u32, sync: bool, outcome: &Outcome) -> (JobState, AttemptOutcome, u32) {
        let decision = decide(&config(OnUnknown::Retry), spent, unknowns, sync, outcome);
        (decision.state, decision.outcome, decision.spent)
    }

    #[test]
    fn retries_end_with_the_maximum_and_snoozes_never() {
        assert_eq!(after(3, 0, false, &RETRY), (JobState::Retrying, AttemptOutcome::Retry, 3));
        assert_eq!(after(4, 0, false, &RETRY), (JobState::Failed, AttemptOutcome::Failed, 4));
        let snooze = Outcome::Snooze { reason: "s", after: None };
        assert_eq!(after(4, 0, false, &snooze), (JobState::Retrying, AttemptOutcome::Snoozed, 3));
    }

    #[test]
    fn an_unknown_outcome_is_repeated_as_often_as_allowed_and_then_waits_for_a_person() {
        assert_eq!(after(1, 0, false, &UNKNOWN), (JobState::Retrying, AttemptOutcome::Unknown, 1));
        assert_eq!(after(3, 2, false, &UNKNOWN), (JobState::Unknown, AttemptOutcome::Unknown, 3));
        assert_eq!(after(4, 1, false, &UNKNOWN), (JobState::Failed, AttemptOutcome::Unknown, 4));
        let held = decide(&config(OnUnknown::Hold), 1, 0, false, &UNKNOWN);
        assert_eq!((held.state, held.unknowns), (JobState::Unknown, 1));
    }

    #[test]
    fn nothing_is_retried_while_the_caller_waits() {
        let snooze = Outcome::Snooze { reason: "s", after: None };
        for outcome in [&RETRY, &snooze, &Outcome::Failed { reason: "f" }] {
            assert_eq!(after(1, 0, true, outcome).0, JobState::Failed);
        }
        assert_eq!(after(1, 0, true, &UNKNOWN).0, JobState::Unknown);
    }

    proptest! {
        #[test]
        fn delays_are_bounded_and_a_providers_wish_wins(attempt in 1u32..5000, wish in 0u64..100_000) {
            let config = config(OnUnknown::Retry);
            prop_assert!(backoff(&config, attempt) <= config.max_delay);
            prop_assert!(attempt > 1 || backoff(&config, attempt) <= config.base_delay);
            let outcome = Outcome::Retry { reason: "r", after: Some(Duration::from_secs(wish)) };
            let decision = decide(&config, 1, 0, false, &outcome);
            prop_assert_eq!(decision.delay, Duration::from_secs(wish.min(3600)));
        }
    }
}
