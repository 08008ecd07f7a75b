//! Ids of jobs and of other rows: numbers that rise with time and serve as primary keys.

use std::{fmt, str::FromStr};

/// Crockford's base 32 (<https://www.crockford.com/base32.html>), lower case: no i, l, o, u.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of an id: 13 × 5 bits hold 63.
const LENGTH: usize = 13;

/// An id: a positive 63-bit number that rises with time, written as 13 characters of base 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub(crate) i64);

impl JobId {
    /// The number that is stored.
    #[must_use]
    pub fn number(self) -> i64 {
        self.0
    }

    /// The id that was stored as this number.
    #[must_use]
    pub fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// The `part`-th of consecutive ids that begin with this one.
    #[must_use]
    pub fn part(self, part: usize) -> Self {
        Self(self.0 + part as i64)
    }
}

impl fmt::Display for JobId {
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

/// The text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is 13 characters of 0-9 and a-z without i, l, o and u")]
pub struct NotAnId;

impl FromStr for JobId {
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
