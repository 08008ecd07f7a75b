//! Ids of jobs and of other rows: numbers that rise with time and serve as primary keys.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// Crockford's base 32 (<https://www.crockford.com/base32.html>), lower case: no i, l, o, u.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of an id: 13 × 5 bits hold 63.
const LENGTH: usize = 13;

/// An id: a positive 63-bit number that rises with time, written as 13 characters of base 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, pattern = "^[0-7][0-9a-hjkmnp-tv-z]{12}$"))]
pub struct JobId(pub(crate) i64);

impl JobId {
    /// The number that is stored.
    pub fn number(self) -> i64 {
        self.0
    }

    /// The id that was stored as this number.
    pub fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// The `part`-th of consecutive ids that begin with this one.
    pub fn part(self, part: usize) -> Self {
        Self(self.0 + part as i64)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The first digit holds the bits from 60 on.
        let text: [u8; LENGTH] = std::array::from_fn(|at| DIGITS[(self.0 >> (60 - 5 * at)) as usize & 31]);
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// The text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is 13 characters of 0-9 and a-z without i, l, o and u")]
pub struct NotAnId;

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl FromStr for JobId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let digit = |byte| DIGITS.iter().position(|digit| *digit == byte);
        let mut bytes = Some(text).filter(|text| text.len() == LENGTH).ok_or(NotAnId)?.bytes();
        let number = bytes.try_fold(0_u128, |bits, byte| Some(bits << 5 | digit(byte)? as u128));
        number.and_then(|number| i64::try_from(number).ok()).map(Self).ok_or(NotAnId)
    }
}

/// 2020-01-01T00:00:00Z in Unix milliseconds: 41 bits of milliseconds last until 2089.
const EPOCH_MS: i64 = 1_577_836_800_000;
/// Bits below the milliseconds.
const SEQUENCE_BITS: u32 = 22;
/// Of those, the bits that number the process on PostgreSQL.
const INSTANCE_BITS: u32 = 10;

/// Makes ids that rise, also when the clock steps back, and that no other process of the store makes.
#[derive(Debug)]
pub(crate) struct IdMaker {
    /// The high bits of a process's ids within a millisecond.
    instance: i64,
    /// Ids of a process in each millisecond.
    capacity: i64,
    /// The millisecond and the place in it of the next id.
    next: parking_lot::Mutex<(i64, i64)>,
}

impl IdMaker {
    /// Begins above `highest`, the highest number in the store. `instance` is this process's number where several
    /// share the store.
    pub(crate) fn new(highest: i64, instance: Option<i64>) -> Self {
        let bits = SEQUENCE_BITS - instance.map_or(0, |_| INSTANCE_BITS);
        let instance = instance.unwrap_or(0) % (1 << INSTANCE_BITS);
        let after = (highest >> SEQUENCE_BITS) + 1;
        Self { instance: instance << bits, capacity: 1 << bits, next: (after, 0).into() }
    }

    /// The first of `count` consecutive ids.
    pub(crate) fn allocate(&self, count: usize, now_ms: i64) -> JobId {
        let count = (count.max(1) as i64).min(self.capacity);
        let mut next = self.next.lock();
        let now = now_ms - EPOCH_MS;
        if next.0 < now {
            *next = (now, 0);
        } else if next.1 + count > self.capacity {
            *next = (next.0 + 1, 0);
        }
        let first = next.0 << SEQUENCE_BITS | self.instance | next.1;
        next.1 += count;
        JobId(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_790_000_000_000;

    proptest! {
        #[test]
        fn an_id_is_read_back_as_written(number in 0..=i64::MAX) {
            prop_assert_eq!(JobId(number).to_string().parse(), Ok(JobId(number)));
        }

        #[test]
        fn any_other_text_is_refused_without_a_panic(text in ".*") {
            if let Ok(id) = text.parse::<JobId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }

        #[test]
        fn ids_rise_and_never_meet_whatever_the_clock_does(
            steps in prop::collection::vec((-5_000i64..5_000, 1usize..300), 1..40),
        ) {
            let makers = [IdMaker::new(0, Some(1)), IdMaker::new(0, Some(2))];
            let (mut now, mut last, mut seen) = (NOW, [0; 2], std::collections::HashSet::new());
            for (turn, (step, count)) in steps.into_iter().enumerate() {
                now += step;
                let first = makers[turn % 2].allocate(count, now).number();
                prop_assert!(first > last[turn % 2]);
                last[turn % 2] = first + count as i64 - 1;
                prop_assert!((first..first + count as i64).all(|id| seen.insert(id)));
            }
        }
    }

    #[test]
    fn ids_begin_above_the_highest_in_the_store() {
        let ahead = IdMaker::new(0, None).allocate(1, NOW + 60_000);
        assert!(IdMaker::new(ahead.number(), None).allocate(1, NOW) > ahead);
    }
}
