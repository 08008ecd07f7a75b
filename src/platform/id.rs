//! Ids of what is stored: numbers that rise with time and serve as row numbers, so that no index on an id is
//! needed. Whose id one is, the rooms say that make them.

use super::time::now_ms;
use parking_lot::Mutex;
use std::{fmt, str::FromStr};

/// Crockford's base 32 (<https://www.crockford.com/base32.html>), lower case: no i, l, o, u.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of an id: 13 × 5 bits hold 63.
const LENGTH: usize = 13;
/// Bits below the milliseconds: 4,194,304 ids in each.
const SEQUENCE_BITS: u32 = 22;
/// 2020-01-01T00:00:00Z in Unix milliseconds: 41 bits of milliseconds last until 2089.
const EPOCH_MS: i64 = 1_577_836_800_000;

/// An id: a positive 63-bit number that rises with time, written as 13 characters of base 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub(in crate::platform) i64);

impl RowId {
    /// When the id was made, Unix milliseconds.
    pub fn made_at(self) -> i64 {
        (self.0 >> SEQUENCE_BITS) + EPOCH_MS
    }

    /// As it is stored.
    pub fn number(self) -> i64 {
        self.0
    }

    /// The id that was stored as this number.
    pub fn from_store(number: i64) -> Self {
        Self(number)
    }

    /// The `part`-th of the ids in a row that begins with this one.
    pub fn part(self, part: usize) -> Self {
        Self(self.0 + part as i64)
    }

    /// The smallest id of a millisecond.
    pub(in crate::platform) fn first_of(unix_ms: i64) -> Self {
        Self((unix_ms - EPOCH_MS).max(0) << SEQUENCE_BITS)
    }
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'0'; LENGTH];
        let mut rest = self.0 as u64;
        for digit in text.iter_mut().rev() {
            *digit = DIGITS.get((rest & 31) as usize).copied().unwrap_or(b'0');
            rest >>= 5;
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// The text is not an id that [`RowId`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is 13 characters of 0-9 and a-z without i, l, o and u")]
pub struct NotAnId;

impl FromStr for RowId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if text.len() != LENGTH {
            return Err(NotAnId);
        }
        let number = text.bytes().try_fold(0_u128, |number, byte| {
            let digit = DIGITS.iter().position(|digit| *digit == byte).ok_or(NotAnId)?;
            Ok(number << 5 | digit as u128)
        })?;
        i64::try_from(number).map(Self).map_err(|_| NotAnId)
    }
}

/// Makes ids that rise, also when the clock steps back, and never repeat one that the store holds.
pub struct IdMaker {
    next: Mutex<i64>,
}

impl IdMaker {
    /// Begins above `highest`, the highest number in the store; 0 if there is none.
    pub fn new(highest: i64) -> Self {
        Self { next: Mutex::new(highest + 1) }
    }

    /// The first of `count` ids in a row.
    pub fn allocate(&self, count: usize) -> RowId {
        let mut next = self.next.lock();
        let first = (*next).max(RowId::first_of(now_ms()).0);
        *next = first + count.max(1) as i64;
        RowId(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_is_read_back_as_written(number in 0..=i64::MAX) {
            prop_assert_eq!(RowId(number).to_string().parse(), Ok(RowId(number)));
        }

        #[test]
        fn any_other_text_is_refused_without_a_panic(text in ".*") {
            if let Ok(id) = text.parse::<RowId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn ids_rise_above_the_highest_in_the_store_and_tell_their_time() {
        let before = now_ms();
        let first = IdMaker::new(0).allocate(3);
        assert!((before..=now_ms()).contains(&first.made_at()));
        let ahead = RowId::first_of(now_ms() + 60_000);
        let maker = IdMaker::new(ahead.0);
        assert!(maker.allocate(2) > ahead);
        assert_eq!(maker.allocate(1), ahead.part(3));
    }
}
