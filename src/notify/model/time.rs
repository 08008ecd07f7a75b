//! When a notification may be sent: moments as callers write them, and the span of time that they make.

use super::Invalid;
use crate::platform::time::rfc3339;
use jiff::Timestamp;
use std::str::FromStr;

const DAY: i64 = 24 * 60 * 60 * 1000;
/// How far ahead `sendAt` may lie, milliseconds: a year and a leap day.
const MAX_AHEAD: i64 = 366 * DAY;
/// How long a notification stays worth sending when the caller does not say, milliseconds.
const DEFAULT_LIFE: i64 = DAY;

/// A point in time, in Unix milliseconds; written in RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    /// `None` beyond the years that RFC 3339 can write.
    pub fn from_unix_ms(ms: i64) -> Option<Self> {
        Timestamp::from_millisecond(ms).ok().map(|_| Self(ms))
    }

    pub fn unix_ms(self) -> i64 {
        self.0
    }
}

/// In UTC with milliseconds, as `2026-11-22T09:30:00.000Z`.
impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&rfc3339(self.0))
    }
}

impl FromStr for Moment {
    type Err = Invalid;
    /// Takes RFC 3339 with `Z` or an offset; finer than a millisecond is cut off.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = Invalid("must be a time in RFC 3339, as 2026-11-22T09:30:00Z");
        if !has_rfc3339_shape(text.as_bytes()) {
            return Err(invalid);
        }
        let stamp: Timestamp = text.parse().map_err(|_| invalid)?;
        Ok(Self(stamp.as_millisecond()))
    }
}

/// jiff reads more than RFC 3339 (blanks, zone names in brackets, hours alone), so the shape is
/// checked before: date, `T`, time with seconds, an optional fraction, `Z` or `±hh:mm`.
fn has_rfc3339_shape(text: &[u8]) -> bool {
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let Some((head, mut rest)) = text.split_at_checked(shape.len()) else { return false };
    if !head.iter().zip(shape).all(|(byte, wanted)| matches(*byte, *wanted)) {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return false;
        }
        rest = &fraction[digits..];
    }
    match rest {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', offset @ ..] => {
            offset.len() == 5 && offset.iter().zip(b"dd:dd").all(|(byte, wanted)| matches(*byte, *wanted))
        }
        _ => false,
    }
}

fn matches(byte: u8, wanted: u8) -> bool {
    match wanted {
        b'd' => byte.is_ascii_digit(),
        b'T' => byte.eq_ignore_ascii_case(&b'T'),
        _ => byte == wanted,
    }
}

/// From when and until when attempts may begin, Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// `None` is at once.
    pub send_at: Option<i64>,
    pub not_after: i64,
}

/// Which of a schedule's times cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleFault {
    #[error("must lie within a year")]
    SendAtTooFar,
    #[error("must be later than sendAt, and in the future")]
    EndsTooSoon,
}

impl Schedule {
    /// At once, for as long as a notification stays worth sending. `now` in Unix milliseconds.
    pub fn at_once(now: i64) -> Self {
        Self { send_at: None, not_after: now + DEFAULT_LIFE }
    }

    /// A `send_at` that has passed is now; without `not_after` there are 24 hours from accept or
    /// `send_at`, whichever is later.
    pub fn new(now: i64, send_at: Option<Moment>, not_after: Option<Moment>) -> Result<Self, ScheduleFault> {
        let send_at = send_at.map(Moment::unix_ms).filter(|at| *at > now);
        let due = send_at.unwrap_or(now);
        if due - now > MAX_AHEAD {
            return Err(ScheduleFault::SendAtTooFar);
        }
        let not_after = not_after.map_or(due + DEFAULT_LIFE, Moment::unix_ms);
        if not_after <= due {
            return Err(ScheduleFault::EndsTooSoon);
        }
        Ok(Self { send_at, not_after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_795_000_000_000;

    fn moment(ms: i64) -> Moment {
        Moment::from_unix_ms(ms).unwrap()
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in any::<String>(), near in "[0-9TZtz:.+ -]{0,40}") {
            let _ = text.parse::<Moment>();
            let _ = near.parse::<Moment>();
        }

        #[test]
        fn what_is_written_is_read_back(ms in 0i64..4_000_000_000_000) {
            prop_assert_eq!(moment(ms).to_string().parse::<Moment>(), Ok(moment(ms)));
        }

        #[test]
        fn an_offset_is_normalised(ms in 0i64..4_000_000_000_000, hours in 0i64..=14) {
            let local = moment(ms + hours * 3_600_000).to_string();
            let text = format!("{}+{hours:02}:00", local.trim_end_matches('Z'));
            prop_assert_eq!(text.parse::<Moment>(), Ok(moment(ms)));
        }

        #[test]
        fn a_schedule_is_always_a_span_of_time(send in any::<i64>(), until in any::<i64>()) {
            let (send, until) = (Moment::from_unix_ms(send), Moment::from_unix_ms(until));
            if let Ok(schedule) = Schedule::new(NOW, send, until) {
                let due = schedule.send_at.unwrap_or(NOW);
                prop_assert!(due >= NOW && due - NOW <= MAX_AHEAD && schedule.not_after > due);
            }
        }
    }

    #[test]
    fn only_rfc_3339_is_read() {
        assert_eq!("1970-01-01T00:00:01.5Z".parse::<Moment>().map(Moment::unix_ms), Ok(1500));
        assert_eq!("1970-01-01t01:00:00+01:00".parse::<Moment>().map(Moment::unix_ms), Ok(0));
        for bad in [
            "",
            "now",
            "1970-01-01",
            "1970-01-01T00:00Z",
            "1970-01-01 00:00:00Z",
            "1970-01-01T00:00:00",
            "1970-02-30T00:00:00Z",
            "1970-01-01T25:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00+0100",
            "1970-01-01T00:00:00Z[UTC]",
            "+01970-01-01T00:00:00Z",
        ] {
            assert!(bad.parse::<Moment>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_past_is_now_and_a_day_is_the_default() {
        let past = Schedule::new(NOW, Some(moment(NOW - 1)), None);
        assert_eq!(past, Ok(Schedule { send_at: None, not_after: NOW + DAY }));
        let later = Schedule::new(NOW, Some(moment(NOW + DAY)), None);
        assert_eq!(later, Ok(Schedule { send_at: Some(NOW + DAY), not_after: NOW + 2 * DAY }));
    }

    #[test]
    fn a_year_is_the_limit_and_an_end_needs_a_future() {
        let year = 365 * DAY;
        assert!(Schedule::new(NOW, Some(moment(NOW + year)), None).is_ok());
        assert_eq!(
            Schedule::new(NOW, Some(moment(NOW + year + 2 * DAY)), None),
            Err(ScheduleFault::SendAtTooFar)
        );
        assert_eq!(Schedule::new(NOW, None, Some(moment(NOW))), Err(ScheduleFault::EndsTooSoon));
        let at = moment(NOW + DAY);
        assert_eq!(Schedule::new(NOW, Some(at), Some(at)), Err(ScheduleFault::EndsTooSoon));
    }
}
