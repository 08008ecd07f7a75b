//! What a gateway's status and `Retry-After` mean: for the message, and for the gateway as a whole.

use chassis_queue::Outcome;
use chassis_resilience::Verdict;
use http::{HeaderMap, StatusCode, header};
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use serde::Deserialize;
use std::time::Duration;

/// The bounds of a `Retry-After`: a gateway that always says 0 must not make a parked job spin.
const AFTER_MIN: Duration = Duration::from_secs(1);
const AFTER_MAX: Duration = Duration::from_secs(3600);

/// The result of a call to a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    pub outcome: Outcome,
    pub health: Health,
}

/// What a call says about the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It works, whatever it said to this message.
    Well,
    Unwell,
    /// No connection can be made.
    Unreachable,
    /// It refuses us: our address, credentials or network path are wrong.
    Misconfigured,
}

impl Health {
    pub fn verdict(self) -> Verdict {
        if self == Self::Well { Verdict::Success } else { Verdict::Failure }
    }
}

/// Classifies an answer, by the table in docs/api.md.
pub fn meaning(status: StatusCode, headers: &HeaderMap, is_push: bool) -> Meaning {
    let reason = reason(status);
    let after = || retry_after(headers, Timestamp::now());
    let (outcome, health) = match status.as_u16() {
        200..=299 => (Outcome::Completed { receipt: None }, Health::Well),
        429 => (Outcome::Snooze { reason, after: after() }, Health::Well),
        502 | 504 => (Outcome::Unknown { reason }, Health::Unwell),
        408 | 409 | 421 | 423 | 425 | 500..=599 => {
            (Outcome::Retry { reason, after: after() }, Health::Unwell)
        }
        300..=399 | 401 | 403 | 404 | 405 | 407 => {
            (Outcome::Snooze { reason, after: None }, Health::Misconfigured)
        }
        410 if is_push => (Outcome::Failed { reason: "token_gone" }, Health::Well),
        400..=499 => (Outcome::Failed { reason }, Health::Well),
        // Not a final status of HTTP: what it means is unknown.
        _ => (Outcome::Unknown { reason }, Health::Unwell),
    };
    Meaning { outcome, health }
}

/// The gateway's own id of a message, if it gives one that is fit to be kept.
pub fn message_id(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Taken {
        message_id: String,
    }
    let Taken { message_id } = serde_json::from_slice(body).ok()?;
    let is_fit = (1..=128).contains(&message_id.len()) && message_id.bytes().all(|b| b.is_ascii_graphic());
    is_fit.then_some(message_id)
}

/// `Retry-After` in seconds or as an HTTP date (RFC 9110, 10.2.3) in its one form that is not obsolete.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let after = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that does not fit is longer than an hour as well.
        text.parse().map_or(AFTER_MAX, Duration::from_secs)
    } else {
        let date = DateTimeParser::new().parse_timestamp(text).ok()?;
        Duration::try_from(date.duration_since(now)).unwrap_or_default()
    };
    Some(after.clamp(AFTER_MIN, AFTER_MAX))
}

/// A word from a closed set, because it is stored, shown and recorded on spans.
fn reason(status: StatusCode) -> &'static str {
    macro_rules! word {
        ($($code:literal)+) => {
            match status.as_u16() {
                $($code => concat!("status_", $code),)+
                300..=399 => "status_3xx",
                400..=499 => "status_4xx",
                500..=599 => "status_5xx",
                _ => "status_other",
            }
        };
    }
    word!(
        300 301 302 303 304 305 307 308
        400 401 402 403 404 405 406 407 408 409 410 411 412 413 414 415 416 417 418 421 422 423 424 425 426 428 429 431 451
        500 501 502 503 504 505 506 507 508 510 511
    )
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
    }

    #[test]
    fn each_status_means_what_the_table_says() {
        for code in 100..1000_u16 {
            let Meaning { outcome, health } =
                meaning(StatusCode::from_u16(code).unwrap(), &HeaderMap::new(), false);
            let (right, expected) = match code {
                200..=299 => (matches!(outcome, Outcome::Completed { .. }), Health::Well),
                429 => (matches!(outcome, Outcome::Snooze { .. }), Health::Well),
                502 | 504 => (matches!(outcome, Outcome::Unknown { .. }), Health::Unwell),
                408 | 409 | 421 | 423 | 425 | 500..=599 => {
                    (matches!(outcome, Outcome::Retry { .. }), Health::Unwell)
                }
                300..=399 | 401 | 403 | 404 | 405 | 407 => {
                    (matches!(outcome, Outcome::Snooze { .. }), Health::Misconfigured)
                }
                400..=499 => (matches!(outcome, Outcome::Failed { .. }), Health::Well),
                _ => (matches!(outcome, Outcome::Unknown { .. }), Health::Unwell),
            };
            assert!(right && health == expected, "{code}: {outcome:?} {health:?}");
        }
        let gone = |is_push| meaning(StatusCode::GONE, &HeaderMap::new(), is_push).outcome;
        assert_eq!(gone(true), Outcome::Failed { reason: "token_gone" });
        assert_eq!(gone(false), Outcome::Failed { reason: "status_410" });
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        assert_eq!(after("120"), Some(120));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(37));
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT"), Some(1), "a date that has passed is now");
        assert_eq!(after("Mon, 07 Nov 1994 08:49:37 GMT"), Some(3600));
        assert_eq!((after("0"), after("-5"), after("soon")), (Some(1), None, None));
    }
}
