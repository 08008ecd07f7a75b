//! The arithmetic of one bucket: the generic cell rate algorithm (ITU-T I.371) in whole numbers, without any
//! rounding. Where buckets are kept is `buckets.rs`'s matter.

use super::config::PerClient;
use std::time::Duration;

const NANOS: u64 = 1_000_000_000;

/// What every client may: a bucket that holds `burst` requests and refills by `rate` of them a second.
///
/// Every window of T seconds, both its ends included, holds at most `burst + rate × T` requests that were let
/// in, and a request is refused only if one window would hold more.
///
/// Times are counted in parts of a nanosecond of which a whole number is the time that one request takes to
/// refill: a rate that does not divide 10⁹ is as exact as one that does. They wrap around, which is harmless
/// as long as full buckets are forgotten: one that was left alone for 5 hours (rates that divide 10⁹: 584
/// years) might seem in use again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Parts of a nanosecond in one.
    parts: u64,
    /// Parts that one request takes to refill.
    cost: u64,
    /// Parts that the whole bucket takes to refill: at most 10¹⁵.
    depth: u64,
}

/// A moment, in parts of nanoseconds since some begin, modulo 2⁶⁴.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(u64);

/// How empty a bucket is: the parts that it takes to refill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Used(u64);

impl Used {
    /// As the bucket of a client that is not known.
    pub const NOTHING: Self = Self(0);
}

impl Rule {
    pub fn new(limit: PerClient) -> Self {
        let rate = u64::from(limit.rate.max(1));
        let common = common_divisor(rate, NANOS);
        let cost = NANOS / common;
        Self { parts: rate / common, cost, depth: cost * u64::from(limit.burst.max(1)) }
    }

    /// The moment this long after the begin.
    pub fn moment(&self, since_begin: Duration) -> Moment {
        // Modulo 2⁶⁴ on purpose; nanoseconds alone wrap after 584 years.
        Moment((since_begin.as_nanos() as u64).wrapping_mul(self.parts))
    }

    /// How empty a bucket is that will be full at `full_at`, or was before.
    pub fn used(&self, full_at: Moment, now: Moment) -> Used {
        let ahead = full_at.0.wrapping_sub(now.0);
        if ahead <= self.depth { Used(ahead) } else { Used::NOTHING }
    }

    /// When a bucket is full again.
    pub fn full_at(&self, used: Used, now: Moment) -> Moment {
        Moment(now.0.wrapping_add(used.0))
    }

    /// Takes one request out, if it is there.
    pub fn take(&self, used: Used) -> Option<Used> {
        let used = used.0 + self.cost;
        (used <= self.depth).then_some(Used(used))
    }

    /// Requests that are there.
    pub fn remaining(&self, used: Used) -> u32 {
        // At most the burst.
        u32::try_from((self.depth - used.0) / self.cost).unwrap_or(u32::MAX)
    }

    /// After which there is one request more than now; zero if the bucket is full.
    pub fn more_after(&self, used: Used) -> Duration {
        // What is there beyond whole requests need not be waited for.
        let begun = (self.depth - used.0) % self.cost;
        self.duration(used.0.min(self.cost - begun))
    }

    /// After which the bucket is full.
    pub fn full_after(&self, used: Used) -> Duration {
        self.duration(used.0)
    }

    /// After which an empty bucket is full.
    pub fn longest(&self) -> Duration {
        self.duration(self.depth)
    }

    /// Rounded up to whole nanoseconds, which clocks count in.
    fn duration(&self, parts: u64) -> Duration {
        Duration::from_nanos(parts.div_ceil(self.parts))
    }
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::{Quota, RateLimiter, clock::FakeRelativeClock, middleware::StateInformationMiddleware};
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    /// The contract word by word: all that was let in, and every window that ends now.
    struct Oracle {
        limit: PerClient,
        admitted: Vec<u64>,
    }

    impl Oracle {
        /// Whether a request now keeps every window within burst + rate × T.
        fn admits(&self, now: u64) -> bool {
            let held = |(earlier, begin): (usize, &u64)| {
                let requests = (self.admitted.len() - earlier + 1) as u128;
                let (rate, burst) = (u128::from(self.limit.rate), u128::from(self.limit.burst));
                let allowed = burst * u128::from(NANOS) + rate * u128::from(now - begin);
                requests * u128::from(NANOS) <= allowed
            };
            self.admitted.iter().enumerate().all(held)
        }

        fn remaining(&self, now: u64) -> u32 {
            let mut ahead = Self { limit: self.limit, admitted: self.admitted.clone() };
            while ahead.admits(now) {
                ahead.admitted.push(now);
            }
            (ahead.admitted.len() - self.admitted.len()) as u32
        }
    }

    struct Bucket {
        rule: Rule,
        full_at: Option<Moment>,
    }

    impl Bucket {
        fn new(limit: PerClient) -> Self {
            Self { rule: Rule::new(limit), full_at: None }
        }

        fn used(&self, now: u64) -> Used {
            let now = self.rule.moment(Duration::from_nanos(now));
            self.full_at.map_or(Used::NOTHING, |full_at| self.rule.used(full_at, now))
        }

        fn take(&mut self, now: u64) -> bool {
            let taken = self.rule.take(self.used(now));
            if let Some(used) = taken {
                self.full_at = Some(self.rule.full_at(used, self.rule.moment(Duration::from_nanos(now))));
            }
            taken.is_some()
        }
    }

    fn limits() -> impl Strategy<Value = PerClient> {
        let rate = prop_oneof![1..=10u32, 1..=1_000_000u32, Just(3), Just(7), Just(999_999), Just(1_000_000)];
        (rate, 1..=20u32).prop_map(|(rate, burst)| PerClient { rate, burst })
    }

    /// Pauses in thousandths of the time that a request takes to refill, some of them a hair off.
    fn pauses() -> impl Strategy<Value = Vec<(u64, u64)>> {
        let thousandths = prop_oneof![Just(0), 0..2000u64, Just(1000), 0..30_000u64];
        proptest::collection::vec((thousandths, 0..3u64), 1..60)
    }

    /// Nanoseconds since a begin that is hours away from it or none.
    fn times(limit: PerClient, begin: u64, pauses: &[(u64, u64)]) -> Vec<u64> {
        let pause = |(thousandths, hair): &(u64, u64)| thousandths * 1_000_000 / u64::from(limit.rate) + hair;
        pauses
            .iter()
            .scan(begin, |now, each| {
                *now += pause(each);
                Some(*now)
            })
            .collect()
    }

    proptest! {
        #[test]
        fn a_request_is_let_in_if_and_only_if_every_window_stays_within_burst_and_rate(
            limit in limits(), begin in prop_oneof![Just(0), 0..u64::MAX / 4], pauses in pauses(),
        ) {
            let mut oracle = Oracle { limit, admitted: Vec::new() };
            let mut bucket = Bucket::new(limit);
            for now in times(limit, begin, &pauses) {
                let admits = oracle.admits(now);
                prop_assert_eq!(bucket.take(now), admits, "at {} of {:?}", now, oracle.admitted);
                if admits {
                    oracle.admitted.push(now);
                }
                let used = bucket.used(now);
                prop_assert_eq!(bucket.rule.remaining(used), oracle.remaining(now));
                let more = now + bucket.rule.more_after(used).as_nanos() as u64;
                prop_assert_eq!(oracle.remaining(more), oracle.remaining(now) + 1);
                prop_assert!(oracle.remaining(more - 1) == oracle.remaining(now));
                let full = now + bucket.rule.full_after(used).as_nanos() as u64;
                prop_assert_eq!(bucket.used(full), Used::NOTHING);
                prop_assert_ne!(bucket.used(full - 1), Used::NOTHING);
            }
        }

        /// An implementation of others, where it is exact too: for rates that divide 10⁹.
        #[test]
        fn governor_says_the_same_where_it_counts_without_rounding(
            rate in prop::sample::select(vec![1u32, 2, 8, 50, 100, 1000, 15_625, 1_000_000]),
            burst in 1..=20u32, pauses in pauses(),
        ) {
            let limit = PerClient { rate, burst };
            let period = Duration::from_nanos(NANOS / u64::from(rate));
            let quota = Quota::with_period(period).unwrap().allow_burst(NonZeroU32::new(burst).unwrap());
            let clock = FakeRelativeClock::default();
            let governor = RateLimiter::direct_with_clock(quota, clock.clone())
                .with_middleware::<StateInformationMiddleware>();
            let (mut bucket, mut before) = (Bucket::new(limit), 0);
            for now in times(limit, 0, &pauses) {
                clock.advance(Duration::from_nanos(now - before));
                before = now;
                match governor.check() {
                    Ok(state) => {
                        prop_assert!(bucket.take(now));
                        prop_assert_eq!(bucket.rule.remaining(bucket.used(now)), state.remaining_burst_capacity());
                    }
                    Err(_) => prop_assert!(!bucket.take(now)),
                }
            }
        }
    }

    #[test]
    fn a_bucket_left_alone_is_full_until_the_clock_has_turned() {
        for rate in [1, 3, 999_999, 1_000_000] {
            let mut bucket = Bucket::new(PerClient { rate, burst: 1 });
            let turn = bucket.rule.duration(u64::MAX - bucket.rule.depth);
            assert!(turn > Duration::from_secs(5 * 3600), "{rate}: {turn:?}");
            assert!(bucket.take(7));
            let after = bucket.rule.longest().as_nanos() as u64;
            for later in [after, after + 1, turn.as_nanos() as u64 / 2, turn.as_nanos() as u64 - 1] {
                assert_eq!(bucket.used(7u64.wrapping_add(later)), Used::NOTHING, "{rate}: {later}");
            }
        }
    }

    #[test]
    fn the_largest_limits_do_not_overflow() {
        for (rate, burst) in [(1, 1_000_000), (999_999, 1_000_000), (1_000_000, 1_000_000), (0, 0)] {
            let rule = Rule::new(PerClient { rate, burst });
            let taken = rule.take(Used::NOTHING).unwrap();
            assert_eq!(rule.remaining(taken), burst.max(1) - 1);
            assert_eq!(rule.take(Used(rule.depth)), None);
            assert_eq!(rule.remaining(Used(rule.depth)), 0);
        }
    }
}
