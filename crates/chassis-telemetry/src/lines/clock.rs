//! The timestamp of a line, RFC 3339 in UTC with microseconds.

use std::{
    fmt::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

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
        self.write(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), line);
    }

    fn write(&mut self, since_epoch: Duration, line: &mut String) {
        let second = since_epoch.as_secs();
        if self.second != Some(second) {
            self.text.clear();
            let _ = write!(
                self.text,
                "{}",
                humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(second))
            );
            // `…:21Z` without its last letter.
            self.text.pop();
            self.second = Some(second);
        }
        line.push_str(&self.text);
        let mut digits = *b".000000Z";
        let mut rest = since_epoch.subsec_micros();
        for digit in digits[1..7].iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
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
                let (time, mut text) = (Duration::new(second, micros * 1000), String::new());
                clock.write(time, &mut text);
                prop_assert_eq!(text.len(), "2026-11-23T06:11:21.123456Z".len());
                prop_assert_eq!(humantime::parse_rfc3339(&text).unwrap(), UNIX_EPOCH + time);
            }
        }
    }
}
