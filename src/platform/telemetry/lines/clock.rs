//! The timestamp of a line, RFC 3339 in UTC with microseconds.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Formats the time and keeps the text of the last second, which most lines share.
#[derive(Debug, Default)]
pub(super) struct Clock {
    second: Option<u64>,
    /// `2026-11-23T06:11:21`
    text: String,
}

impl Clock {
    /// Appends the current time.
    pub fn now(&mut self, line: &mut String) {
        // A clock before 1970 is shown as 1970.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.write(since_epoch.as_secs(), since_epoch.subsec_micros(), line);
    }

    fn write(&mut self, second: u64, micros: u32, line: &mut String) {
        if self.second != Some(second) {
            self.text.clear();
            let timestamp =
                i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
            // `…:21Z` without its last letter; a year beyond 9999 is shown as 1970.
            let _ = write!(self.text, "{}", timestamp.unwrap_or_default());
            self.text.pop();
            self.second = Some(second);
        }
        let mut digits = *b".000000Z";
        let mut rest = micros;
        for digit in digits[1..7].iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        line.push_str(&self.text);
        line.push_str(std::str::from_utf8(&digits).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_timestamp_is_read_back_to_the_microsecond(seconds in proptest::collection::vec(0u64..253_402_207_200, 1..5), micros in 0u32..1_000_000) {
            let mut clock = Clock::default();
            for second in seconds {
                let mut text = String::new();
                clock.write(second, micros, &mut text);
                prop_assert_eq!(text.len(), "2026-11-23T06:11:21.123456Z".len());
                let expected = jiff::Timestamp::new(second as i64, (micros * 1000) as i32).unwrap();
                prop_assert_eq!(text.parse::<jiff::Timestamp>().unwrap(), expected);
            }
        }
    }
}
