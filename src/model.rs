//! Words that several parts of the service share.

use garde::Validate;
use jiff::{Timestamp, civil::DateTime, tz::Offset};
use serde::{Deserialize, Deserializer, Serialize, de::IntoDeserializer};
use std::{borrow::Cow, fmt, str::FromStr};
use utoipa::ToSchema;

/// The caller's own identifier of a patient.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[garde(transparent)]
#[schema(min_length = 1, max_length = 64, pattern = r"^[A-Za-z0-9._-]+$", example = "p-17")]
pub struct PatientId(#[garde(custom(identifier))] String);

/// A patient in a path.
#[derive(Deserialize, Validate, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct PatientPath {
    /// The caller's own identifier of the patient.
    #[garde(dive)]
    pub patient_id: PatientId,
}

/// Reading a text with its check (for what comes from no JSON body), and a `Debug` that hides it.
macro_rules! texts {
    ($($name:ident)+) => {$(
        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = garde::Report;
            fn from_str(text: &str) -> Result<Self, garde::Report> {
                let value = Self(text.to_owned());
                garde::Validate::validate(&value).map(|()| value)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )+};
}
pub(crate) use texts;
texts!(PatientId);

/// The result of a rule.
pub fn ensure(holds: bool, rule: impl fmt::Display) -> garde::Result {
    if holds { Ok(()) } else { Err(garde::Error::new(rule)) }
}

/// The rule of an identifier that a caller chooses. `.` and `..` are refused, because clients and proxies take them out of
/// paths.
pub fn identifier(text: &str, _: &()) -> garde::Result {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let holds = (1..=64).contains(&text.len()) && text.bytes().all(allowed) && text != "." && text != "..";
    ensure(
        holds,
        "must be 1 to 64 characters out of letters, digits, '.', '_' and '-', and neither '.' nor '..'",
    )
}

/// Neither white space nor one of Unicode's Default_Ignorable_Code_Point, an interlinear mark or the blank Braille pattern.
pub fn is_visible(c: char) -> bool {
    !(c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'))
}

/// Reads a word of a closed set: a text alone, where serde takes `{"word": null}` for the same.
///
/// # Errors
/// It is no text, or none of the words.
pub fn word<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    T::deserialize(Cow::<str>::deserialize(from)?.into_deserializer())
}

/// The same for a field that may be left out.
///
/// # Errors
/// As [`word`].
pub fn word_if_any<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    let word = Option::<Cow<'_, str>>::deserialize(from)?;
    word.map(|word| T::deserialize(word.into_deserializer())).transpose()
}

/// A time in RFC 3339 with `Z` or an offset, shown in UTC with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, format = DateTime, example = "2026-11-22T09:30:00.000Z")]
pub struct Moment(pub Timestamp);

impl Moment {
    pub fn now() -> Self {
        Self(Timestamp::now())
    }

    /// The nearest time that RFC 3339 can write.
    pub fn from_unix_ms(ms: i64) -> Self {
        let edge = if ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Self(Timestamp::from_millisecond(ms).unwrap_or(edge))
    }

    pub fn unix_ms(self) -> i64 {
        self.0.as_millisecond()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

impl TryFrom<String> for Moment {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for Moment {
    type Err = &'static str;

    /// A time that is later than jiff knows is its last.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (time, offset) =
            split_rfc3339(text).ok_or("must be a time in RFC 3339, as 2026-11-22T09:30:00Z")?;
        Ok(Self(offset.to_timestamp(time).unwrap_or(Timestamp::MAX)))
    }
}

/// jiff alone would also read times without seconds or an offset's minutes, with blanks and with zones in brackets.
fn split_rfc3339(text: &str) -> Option<(DateTime, Offset)> {
    let [_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b't', _, _, b':', _, _, b':', _, _, rest @ ..] =
        text.as_bytes()
    else {
        return None;
    };
    let (fraction, zone) = rest.split_at(rest.iter().take_while(|b| matches!(b, b'.' | b'0'..=b'9')).count());
    let offset = match zone {
        [b'Z' | b'z'] => Offset::UTC,
        [sign @ (b'+' | b'-'), zone @ ..] => {
            let (hours, minutes) = std::str::from_utf8(zone).ok()?.split_once(':')?;
            // `parse` alone would read a sign as well.
            let is_two = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            let two = |text: &str| is_two(text).then(|| text.parse::<u8>().ok()).flatten();
            let (hours, minutes) = (two(hours).filter(|h| *h < 24)?, two(minutes).filter(|m| *m < 60)?);
            let seconds = i32::from(hours) * 3600 + i32::from(minutes) * 60;
            Offset::from_seconds(if *sign == b'-' { -seconds } else { seconds }).ok()?
        }
        _ => return None,
    };
    let is_whole = match fraction {
        [] => true,
        [b'.', digits @ ..] => !digits.is_empty() && !digits.contains(&b'.'),
        _ => false,
    };
    // RFC 3339 bounds no fraction, and jiff reads nanoseconds.
    let length = text.len() - zone.len() - fraction.len().saturating_sub(".123456789".len());
    let time = text.get(..length).filter(|_| is_whole)?;
    Some((time.parse().ok()?, offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn moment(ms: i64) -> Moment {
        Moment::from_unix_ms(ms)
    }

    proptest! {
        #[test]
        fn identifiers_are_what_the_contract_says(text in any::<String>(), id in "[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}") {
            let right = (1..=64).contains(&text.chars().count())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
                && text != "." && text != "..";
            prop_assert_eq!(text.parse::<PatientId>().is_ok(), right);
            prop_assert_eq!(id.parse::<PatientId>().map(|id| id.0).ok(), Some(id));
        }

        #[test]
        fn a_time_is_read_back_as_it_was_written(ms in 0i64..4_000_000_000_000, hours in 0i64..=14) {
            prop_assert_eq!(moment(ms).to_string().parse(), Ok(moment(ms)));
            let local = moment(ms + hours * 3_600_000).to_string();
            let with_offset = format!("{}+{hours:02}:00", local.trim_end_matches('Z'));
            prop_assert_eq!(with_offset.parse(), Ok(moment(ms)));
        }

        #[test]
        fn no_text_panics(text in any::<String>(), near in "[0-9TZtz:.+ -]{0,40}") {
            let _ = (text.parse::<Moment>(), near.parse::<Moment>());
        }
    }

    #[test]
    fn only_rfc_3339_is_read() {
        assert_eq!("1970-01-01T00:00:01.5Z".parse(), Ok(moment(1500)));
        assert_eq!("1970-01-01t01:00:00+01:00".parse(), Ok(moment(0)));
        assert_eq!("1969-12-31T00:30:00-23:30".parse(), Ok(moment(0)));
        assert_eq!("9999-12-31T23:59:59Z".parse(), Ok(Moment(Timestamp::MAX)));
        assert_eq!("1970-01-01T00:00:00-00:00".parse(), Ok(moment(0)));
        assert_eq!("1970-01-01T00:00:00.0010000000009z".parse(), Ok(moment(1)));
        assert_eq!("1990-12-31T15:59:60-08:00".parse(), "1990-12-31T23:59:59Z".parse::<Moment>());
        for bad in [
            "", "1970-01-01", "1970-01-01T00:00Z", "1970-01-01 00:00:00Z", "1970-01-01T00:00:00",
            "1970-02-30T00:00:00Z", "1970-01-01T25:00:00Z", "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.123456789.5Z", "1970-01-01T24:00:00Z", "1970-01-01T00:00:61Z",
            "1970-01-01T00:60:00Z", "1970-01-01T00:00:00+00:60", "1970-01-01T00:00:00\u{2212}01:00",
            "1970-01-01T00:00:00Z ", "1970-01-01T00:00:00,5Z", "1970-01-01T00:00:00+0100",
            "1970-01-01T00:00:00+24:00", "1970-01-01T00:00:00++1:00", "1970-01-01T00:00:00Z[UTC]",
            "+01970-01-01T00:00:00Z",
        ] {
            assert!(bad.parse::<Moment>().is_err(), "{bad}");
        }
    }
}
