//! How many retries there may be for so many calls. Which of them are worth one is not decided here.

use std::sync::atomic::{AtomicU32, Ordering};

/// What a retry costs, in what a hundred calls earn `EARNED` of: nine retries for a hundred calls, so that
/// all attempts together stay under 1.1 for each call, however few calls there are.
const COST: u32 = 100;
const EARNED: u32 = 9;
/// Retries that may be saved up, for the calls that were on their way to an endpoint when it died. Short
/// of all failing for long, so that little of it meets another side that is down as a whole.
const MOST: u32 = 10 * COST;

/// A token bucket that calls fill and retries empty. It begins empty, so that at any time at most nine
/// retries have been made for a hundred calls.
///
/// Source: Google, "Site Reliability Engineering" (2016), chapter 22, "per-client retry budget" of 10 %.
#[derive(Debug, Default)]
pub struct RetryBudget(AtomicU32);

impl RetryBudget {
    /// A call is made.
    pub fn earn(&self) {
        let more = |saved: u32| Some((saved + EARNED).min(MOST));
        // Never fails: there is always a new value.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Whether there may be a retry, which is then paid for.
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
        fn there_are_never_more_than_nine_retries_for_a_hundred_calls(calls in proptest::collection::vec(0_u8..4, 1..2000)) {
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
    fn ten_retries_are_saved_and_no_more() {
        let budget = RetryBudget::default();
        (0..10_000).for_each(|_| budget.earn());
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 10);
    }
}
