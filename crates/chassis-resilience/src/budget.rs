//! How many retries a client may make in relation to its calls.

use std::sync::atomic::{AtomicU32, Ordering};

/// A call earns 9, a retry costs 100: all attempts together stay under 1.1 for each call.
const EARNED: u32 = 9;
const COST: u32 = 100;
/// Ten retries can be saved up, for the calls that were on their way to an endpoint when it died. That is too
/// few to hurt a service that fails as a whole.
const SAVED_MAX: u32 = 10 * COST;

/// A token bucket that calls fill and retries empty. It starts empty, so that nine retries for a hundred calls
/// is a bound at any time. (`tower::retry::budget::TpsBudget` forgets what a quiet client earned, and a busy
/// client may spend the earnings of its whole window at once, at the moment when everything fails.)
///
/// Source: Google, "Site Reliability Engineering" (2016), chapter 22, per-client retry budget of 10 %.
#[derive(Debug, Default)]
pub struct RetryBudget(AtomicU32);

impl RetryBudget {
    /// Counts a call.
    pub fn earn(&self) {
        let more = |saved: u32| Some((saved + EARNED).min(SAVED_MAX));
        // Never fails: the closure always returns a value.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Pays for a retry if there is enough for one.
    pub fn spend(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| saved.checked_sub(COST)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn there_are_never_more_than_nine_retries_for_a_hundred_calls(
            calls in proptest::collection::vec(0_u8..4, 1..2000),
        ) {
            let budget = RetryBudget::default();
            let (mut made, mut retries) = (0, 0);
            for wanted in calls {
                budget.earn();
                made += 1;
                retries += (0..wanted).filter(|_| budget.spend()).count();
                prop_assert!(retries * 100 <= made * 9, "{} retries for {} calls", retries, made);
            }
        }
    }

    #[test]
    fn at_most_ten_retries_are_saved_up() {
        let budget = RetryBudget::default();
        (0..10_000).for_each(|_| budget.earn());
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 10);
    }
}
