//! Until when a call is to be answered: what the caller asks for, and what we grant.

use http::{HeaderMap, HeaderName};
use std::time::{Duration, Instant};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// How many digits the protocol allows.
const MOST_DIGITS: usize = 8;

/// When a call has to be answered; an extension of every request that reaches a handler, for whatever it
/// calls in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub Instant);

/// A `grpc-timeout` that is none. It is refused rather than ignored: its caller counts on a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// How long the caller waits, from its `grpc-timeout`.
///
/// # Errors
/// It is there, and can't be read.
pub(super) fn asked(headers: &HeaderMap) -> Result<Option<Duration>, Malformed> {
    headers.get(GRPC_TIMEOUT).map(|value| parse(value.as_bytes()).ok_or(Malformed)).transpose()
}

/// `TimeoutValue TimeoutUnit` of gRPC over HTTP/2 (<https://grpc.github.io/grpc/core/md_doc__p_r_o_t_o_c_o_l-_h_t_t_p2.html>).
/// Zero is read too, as common servers do: a deadline that has passed.
fn parse(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > MOST_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(value * 3600),
        b'M' => Duration::from_secs(value * 60),
        b'S' => Duration::from_secs(value),
        b'm' => Duration::from_millis(value),
        b'u' => Duration::from_micros(value),
        b'n' => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    #[test]
    fn every_unit_is_read_and_the_bounds_are_the_protocols() {
        let cases = [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("6n", Some(Duration::from_nanos(6))),
            ("0n", Some(Duration::ZERO)),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("123456789n", None),
            ("", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("-1S", None),
            ("+1S", None),
            (" 1S", None),
            ("1.5S", None),
            ("1 S", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn a_caller_without_one_has_none_and_a_broken_one_is_not_ignored() {
        let mut headers = HeaderMap::new();
        assert_eq!(asked(&headers), Ok(None));
        headers.insert(GRPC_TIMEOUT, HeaderValue::from_static("soon"));
        assert_eq!(asked(&headers), Err(Malformed));
    }

    proptest! {
        #[test]
        fn what_is_written_by_the_protocol_is_read_and_nothing_else_is(
            value in 0u64..100_000_000, unit in "[HMSmun]", other in "\\PC{0,12}"
        ) {
            let text = format!("{value}{unit}");
            let read = parse(text.as_bytes()).unwrap();
            let nanos: u128 = match &*unit {
                "H" => 3_600_000_000_000, "M" => 60_000_000_000, "S" => 1_000_000_000,
                "m" => 1_000_000, "u" => 1_000, _ => 1,
            };
            prop_assert_eq!(read.as_nanos(), u128::from(value) * nanos);
            let rest = other.strip_suffix(['H', 'M', 'S', 'm', 'u', 'n']);
            let valid = rest.is_some_and(|digits| {
                (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
            });
            prop_assert_eq!(parse(other.as_bytes()).is_some(), valid);
        }
    }
}
