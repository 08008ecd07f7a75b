//! Two counters over a sliding window of time, in a ring of buckets.

use std::time::{Duration, Instant};

/// Counts events and how many of them matched, over a window that ends now; as exact as one of its `N` buckets.
#[derive(Clone, Debug)]
pub(crate) struct Rolling<const N: usize> {
    pub started: Instant,
    bucket: Duration,
    /// The bucket that was counted in last, numbered from the start.
    last: u64,
    buckets: [Counts; N],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub total: u64,
    pub matched: u64,
}

impl<const N: usize> Rolling<N> {
    pub fn new(window: Duration, now: Instant) -> Self {
        let bucket = (window / N as u32).max(Duration::from_nanos(1));
        Self { started: now, bucket, last: 0, buckets: [Counts::default(); N] }
    }

    pub fn add(&mut self, now: Instant, total: u64, matched: u64) {
        if let Some(counts) = self.current(now) {
            counts.total += total;
            counts.matched += matched;
        }
    }

    pub fn sum(&mut self, now: Instant) -> Counts {
        self.current(now);
        let sum = |part: fn(&Counts) -> u64| self.buckets.iter().map(part).sum();
        Counts { total: sum(|counts| counts.total), matched: sum(|counts| counts.matched) }
    }

    /// The bucket of `now`, after emptying the buckets whose time has passed. A clock that several threads read
    /// may seem to go back a little: such an event counts in the latest bucket.
    fn current(&mut self, now: Instant) -> Option<&mut Counts> {
        let elapsed = now.saturating_duration_since(self.started).as_nanos() / self.bucket.as_nanos();
        let reached = u64::try_from(elapsed).unwrap_or(u64::MAX).max(self.last);
        for passed in (self.last..reached).take(N) {
            if let Some(counts) = self.buckets.get_mut(((passed + 1) % N as u64) as usize) {
                *counts = Counts::default();
            }
        }
        self.last = reached;
        self.buckets.get_mut((reached % N as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_sum_is_exact_to_the_bucket(
            steps in proptest::collection::vec((0_u64..400, any::<bool>()), 0..100),
        ) {
            let started = Instant::now();
            let mut rolling = Rolling::<10>::new(Duration::from_secs(1), started);
            let (mut at, mut counted) = (0, Vec::new());
            for (pause, matched) in steps {
                at += pause;
                let now = started + Duration::from_millis(at);
                rolling.add(now, 1, u64::from(matched));
                counted.push((at / 100, matched));
                let inside = || counted.iter().filter(|(bucket, _)| bucket + 10 > at / 100);
                let expected = Counts {
                    total: inside().count() as u64,
                    matched: inside().filter(|(_, matched)| *matched).count() as u64,
                };
                prop_assert_eq!(rolling.sum(now), expected);
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_loses_nothing() {
        let started = Instant::now();
        let mut rolling = Rolling::<10>::new(Duration::from_secs(1), started);
        rolling.add(started + Duration::from_millis(550), 1, 0);
        rolling.add(started + Duration::from_millis(50), 1, 0);
        assert_eq!(rolling.sum(started).total, 2);
    }
}
