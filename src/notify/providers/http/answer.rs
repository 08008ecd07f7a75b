//! What a gateway's status and `Retry-After` mean for the job.

use crate::platform::queue::Outcome;
use http::{HeaderMap, StatusCode, header};
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use std::time::Duration;

/// The longest that a gateway may make us wait.
const MAX_AFTER: Duration = Duration::from_secs(3600);
/// The shortest: a gateway that says 0 to everything must not make a loop of a parked job.
const MIN_AFTER: Duration = Duration::from_secs(1);

/// The outcome of an attempt that was answered. Redirects are not followed, so they are permanent.
pub fn outcome(status: StatusCode, headers: &HeaderMap) -> Outcome {
    let reason = reason(status);
    match status.as_u16() {
        200..=299 => Outcome::Delivered,
        429 => Outcome::Parked { reason, after: retry_after(headers, Timestamp::now()) },
        408 | 500..=599 => Outcome::Retry { reason, after: retry_after(headers, Timestamp::now()) },
        _ => Outcome::Dead { reason },
    }
}

/// `Retry-After` in seconds or as an HTTP date (RFC 9110, 10.2.3), between a second and an hour.
///
/// Of the three forms of dates only IMF-fixdate is read: the others are obsolete, and without a wish
/// the usual delay applies.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let after = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are an hour as well.
        text.parse().map_or(MAX_AFTER, Duration::from_secs)
    } else {
        let date = DateTimeParser::new().parse_timestamp(text).ok()?;
        Duration::try_from(date.duration_since(now)).unwrap_or_default()
    };
    Some(after.clamp(MIN_AFTER, MAX_AFTER))
}

/// A word from a closed set, since it is stored, shown and put on spans.
fn reason(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "status_400",
        401 => "status_401",
        403 => "status_403",
        404 => "status_404",
        405 => "status_405",
        408 => "status_408",
        409 => "status_409",
        410 => "status_410",
        413 => "status_413",
        422 => "status_422",
        429 => "status_429",
        500 => "status_500",
        501 => "status_501",
        502 => "status_502",
        503 => "status_503",
        504 => "status_504",
        other => match other / 100 {
            3 => "status_3xx",
            4 => "status_4xx",
            5 => "status_5xx",
            _ => "status_other",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn after(value: &str) -> Option<u64> {
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().unwrap();
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_str(value).ok()?)]);
        retry_after(&headers, now).map(|after| after.as_secs())
    }

    proptest! {
        #[test]
        fn any_retry_after_is_bounded_or_ignored(value in "[ -~]{0,40}", digits in "[0-9]{1,40}") {
            prop_assert!(after(&value).is_none_or(|seconds| (1..=3600).contains(&seconds)));
            prop_assert!(after(&digits).is_some_and(|seconds| (1..=3600).contains(&seconds)));
        }

        #[test]
        fn every_status_has_an_outcome_and_a_reason(code in 100u16..1000) {
            let outcome = outcome(StatusCode::from_u16(code).unwrap(), &HeaderMap::new());
            let right = match code {
                200..=299 => matches!(outcome, Outcome::Delivered),
                429 => matches!(outcome, Outcome::Parked { .. }),
                408 | 500..=599 => matches!(outcome, Outcome::Retry { .. }),
                _ => matches!(outcome, Outcome::Dead { .. }),
            };
            prop_assert!(right);
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        assert_eq!(after("120"), Some(120));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(37));
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT"), Some(1), "a date that has passed is now");
        assert_eq!(after("Mon, 07 Nov 1994 08:49:37 GMT"), Some(3600));
        assert_eq!(after("0"), Some(1));
        assert_eq!(after("-5"), None);
        assert_eq!(after("soon"), None);
    }
}
