//! The clock as the store and the queue keep it, and how its times are written.

use jiff::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in Unix milliseconds.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// A time (Unix milliseconds) in RFC 3339, in UTC with milliseconds, as `2026-11-22T09:30:00.000Z`.
pub fn rfc3339(unix_ms: i64) -> String {
    let stamp = Timestamp::from_millisecond(unix_ms).unwrap_or_default();
    format!("{stamp:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_with_its_milliseconds() {
        assert_eq!(rfc3339(1_795_417_814_359), "2026-11-23T07:10:14.359Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
    }
}
