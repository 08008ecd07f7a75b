//! When a caller that was turned away may come again.

use super::{Feature, State};
use rand::Rng;
use std::time::{Duration, Instant};

/// While an operator has pinned the level nobody knows when that ends.
pub(super) const PINNED: Duration = Duration::from_secs(30);
/// The bounds before the jitter, which adds up to a half: so it is 1 s to 1 min.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(40);

impl State {
    /// How long the level takes to fall below the feature's if it is calm from now on, or what has piled up to be
    /// worked off if that is longer; and up to a half more, drawn, so that callers do not all come back at once.
    pub(super) fn retry_after(&self, feature: Feature, now: Instant) -> Duration {
        if self.pinned {
            return PINNED;
        }
        let falls = self.ladder.until_below(feature.level, now);
        let clears = self.signals.iter().filter_map(|shown| shown.clears_in).max().unwrap_or_default();
        falls.max(clears).clamp(SHORTEST, LONGEST).mul_f64(rand::rng().random_range(1.0..1.5))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            ladder::Ladder,
            signals::{Pressure, Shown},
        },
        *,
    };
    use proptest::prelude::*;

    fn state(level: u8, hold: Duration, clears_in: Duration) -> State {
        let mut ladder = Ladder::new(3, hold);
        ladder.set(level);
        let mut shown = Shown::new("queue_age", 3);
        shown.set(Pressure { value: 1.0, clears_in: Some(clears_in) });
        State { ladder, pinned: false, signals: vec![shown] }
    }

    proptest! {
        #[test]
        fn it_is_a_second_to_a_minute_and_no_less_than_the_hold_and_the_backlog_say(
            level in 1..=3_u8,
            hold in 1..100_000_u64,
            clears in 0..100_000_u64,
        ) {
            let (hold, clears) = (Duration::from_millis(hold), Duration::from_millis(clears));
            let after = state(level, hold, clears)
                .retry_after(Feature { name: "first", level: 1 }, Instant::now());
            let least = (hold * u32::from(level)).max(clears).clamp(SHORTEST, LONGEST);
            prop_assert!(after >= least && after <= least.mul_f64(1.5), "{after:?}, least {least:?}");
        }
    }

    #[test]
    fn a_pin_has_a_time_of_its_own() {
        let state = State { pinned: true, ..state(3, Duration::from_secs(5), Duration::ZERO) };
        assert_eq!(state.retry_after(Feature { name: "first", level: 1 }, Instant::now()), PINNED);
    }
}
