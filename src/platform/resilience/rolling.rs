//! Two counts over the last while, in a ring of buckets. What is counted is not known here.

use std::time::{Duration, Instant};

/// Two counts over a span of time that ends now, as exact as one of its `N` buckets is long.
#[derive(Clone, Debug)]
pub(super) struct Rolling<const N: usize> {
    begun: Instant,
    bucket: Duration,
    /// The bucket that was last counted in, from the beginning on.
    last: u64,
    buckets: [Counts; N],
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub all: u64,
    /// As many of them as are of the kind that is looked for.
    pub some: u64,
}

impl<const N: usize> Rolling<N> {
    /// Over `span`, from `now` on.
    pub fn new(span: Duration, now: Instant) -> Self {
        let bucket = span / u32::try_from(N).unwrap_or(u32::MAX).max(1);
        Self {
            begun: now,
            bucket: bucket.max(Duration::from_nanos(1)),
            last: 0,
            buckets: [Counts::default(); N],
        }
    }

    /// Counts one more of all.
    pub fn count(&mut self, now: Instant) {
        if let Some(counts) = self.current(now) {
            counts.all += 1;
        }
    }

    /// Counts one more of the kind that is looked for.
    pub fn count_some(&mut self, now: Instant) {
        if let Some(counts) = self.current(now) {
            counts.some += 1;
        }
    }

    /// What the span that ends now holds.
    pub fn sum(&mut self, now: Instant) -> Counts {
        self.current(now);
        let add =
            |sum: Counts, counts: &Counts| Counts { all: sum.all + counts.all, some: sum.some + counts.some };
        self.buckets.iter().fold(Counts::default(), add)
    }

    /// The bucket of `now`, the older ones emptied that its place was theirs before. A clock that is read
    /// by several threads may seem to go back a little: that counts in the latest bucket.
    fn current(&mut self, now: Instant) -> Option<&mut Counts> {
        let since = now.saturating_duration_since(self.begun).as_nanos() / self.bucket.as_nanos();
        let reached = u64::try_from(since).unwrap_or(u64::MAX).max(self.last);
        for passed in (self.last..reached).take(N) {
            // The places are emptied in order; after a whole turn all of them are.
            let place = (passed + 1) % N as u64;
            if let Some(counts) = self.buckets.get_mut(place as usize) {
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
        fn it_holds_what_was_counted_in_its_span_to_the_bucket(
            steps in proptest::collection::vec((0_u64..400, any::<bool>()), 0..100),
        ) {
            let begun = Instant::now();
            let mut rolling = Rolling::<10>::new(Duration::from_secs(1), begun);
            let (mut at, mut counted) = (0, Vec::new());
            for (pause, some) in steps {
                at += pause;
                let now = begun + Duration::from_millis(at);
                rolling.count(now);
                if some { rolling.count_some(now) }
                counted.push((at / 100, some));
                let inside = || counted.iter().filter(|(bucket, _)| bucket + 10 > at / 100);
                let wanted = Counts {
                    all: inside().count() as u64,
                    some: inside().filter(|(_, some)| *some).count() as u64,
                };
                prop_assert_eq!(rolling.sum(now), wanted);
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_loses_nothing() {
        let begun = Instant::now();
        let mut rolling = Rolling::<10>::new(Duration::from_secs(1), begun);
        rolling.count(begun + Duration::from_millis(550));
        rolling.count(begun + Duration::from_millis(50));
        assert_eq!(rolling.sum(begun).all, 2);
    }
}
