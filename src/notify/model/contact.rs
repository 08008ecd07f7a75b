//! How a patient can be reached: phone, push tokens, and what texts may be written by.

use super::Invalid;
use crate::platform::checked::checked_text;
use rlibphonenumber::PHONE_NUMBER_UTIL;
use std::{fmt, str::FromStr};

/// One patient's entry in the directory. Every part may be missing: a patient with a phone gets SMS,
/// one with tokens gets push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    pub phone: Option<Phone>,
    pub push_tokens: Vec<PushToken>,
    pub time_zone: Option<TimeZone>,
    pub locale: Option<Locale>,
}

impl Contact {
    /// How many devices one patient may have: each is a job of its own.
    pub const MAX_TOKENS: usize = 20;
}

checked_text!(
    /// A telephone number in E.164 (`+` and up to 15 digits) that its country's numbering plan knows
    /// as valid, by Google's libphonenumber metadata.
    Phone,
    "must be a valid telephone number in E.164, as +4930901820",
    is_valid_phone
);

/// E.164 by its shape first, so that the library sees short, plain texts only. What it writes back has
/// to be what came in: it would otherwise repair a number, as by dropping a national prefix.
fn is_valid_phone(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    if !(5..=15).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let Ok(number) = PHONE_NUMBER_UTIL.parse(text, None) else { return false };
    number.is_valid() && number.to_string() == text
}

checked_text!(
    /// A name of the IANA time zone database, as `Europe/Berlin`, by its syntax.
    ///
    /// Whether the database knows it is not checked: that would bind a value's validity to the
    /// database's edition on this machine, and nothing is computed with it here.
    TimeZone,
    "must be a time zone's name, as Europe/Berlin",
    |text| text.len() <= TimeZone::MOST && text.split('/').all(is_zone_part)
);

impl TimeZone {
    /// Characters.
    pub const MOST: usize = 64;
}

impl Locale {
    /// Characters. RFC 5646, 4.4.1: no tag that is in use needs more.
    pub const MOST: usize = 35;
}

fn is_zone_part(part: &str) -> bool {
    part.starts_with(|first: char| first.is_ascii_alphabetic())
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'-'))
}

checked_text!(
    /// A language tag after BCP 47, as `de-CH`, by its syntax: a language of 2 to 8 letters, then
    /// subtags of 1 to 8 letters or digits, the last of which has more than one.
    Locale,
    "must be a language tag after BCP 47, as de-CH",
    is_language_tag
);

fn is_language_tag(text: &str) -> bool {
    if text.len() > Locale::MOST {
        return false;
    }
    let mut subtags = text.split('-');
    let language = subtags.next().unwrap_or_default();
    let last_is_short = text.rsplit('-').next().is_some_and(|last| last.len() < 2);
    (2..=8).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
        && subtags.all(|tag| (1..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric()))
        && !last_is_short
}

/// Takes texts back that were checked when they were stored: numbering plans change, and what was
/// valid then is still the patient's.
macro_rules! stored {
    ($($name:ident)+) => {
        $(impl $name {
            pub(in crate::notify) fn from_store(text: String) -> Self {
                Self(text)
            }
        })+
    };
}
stored!(Phone TimeZone Locale);

/// What a token is for: a device's system, or the push service itself. The gateway is given the word
/// as it is; nothing else depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Platform {
    Android,
    Apns,
    Fcm,
    Ios,
    Web,
}

impl Platform {
    pub const ALL: [Self; 5] = [Self::Android, Self::Apns, Self::Fcm, Self::Ios, Self::Web];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Android => "android",
            Self::Apns => "apns",
            Self::Fcm => "fcm",
            Self::Ios => "ios",
            Self::Web => "web",
        }
    }
}

impl FromStr for Platform {
    type Err = Invalid;
    fn from_str(word: &str) -> Result<Self, Invalid> {
        let known = Self::ALL.into_iter().find(|platform| platform.as_str() == word);
        known.ok_or(Invalid("must be one of android, apns, fcm, ios, web"))
    }
}

/// One device of a patient.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PushToken {
    platform: Platform,
    token: String,
}

impl PushToken {
    /// Characters of a token.
    pub const MOST: usize = 4096;

    /// `token`: 1 to 4,096 visible ASCII characters, as services make them.
    pub fn new(platform: Platform, token: &str) -> Result<Self, Invalid> {
        if (1..=Self::MOST).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self { platform, token: token.to_owned() })
        } else {
            Err(Invalid("must be 1 to 4096 visible ASCII characters"))
        }
    }

    pub fn platform(&self) -> Platform {
        self.platform
    }

    pub fn token(&self) -> &str {
        &self.token
    }
}

impl fmt::Debug for PushToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushToken(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_breaks_a_parser(text in any::<String>()) {
            let _ = text.parse::<Phone>();
            let _ = text.parse::<TimeZone>();
            let _ = text.parse::<Locale>();
            let _ = text.parse::<Platform>();
            let _ = PushToken::new(Platform::Fcm, &text);
        }

        #[test]
        fn a_phone_is_plus_and_digits_and_kept_as_given(text in "\\+?[0-9 ()-]{0,18}") {
            if let Ok(phone) = text.parse::<Phone>() {
                prop_assert_eq!(phone.as_str(), &text);
                let digits = text.strip_prefix('+').unwrap_or("none");
                prop_assert!(digits.len() <= 15 && digits.bytes().all(|byte| byte.is_ascii_digit()));
            }
        }

        #[test]
        fn well_formed_zones_and_tags_are_taken(
            zone in "[A-Z][a-z]{1,9}(/[A-Z][a-z_]{1,13}){0,2}",
            tag in "[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?(-[a-z]{5,8})?",
        ) {
            prop_assert!(zone.parse::<TimeZone>().is_ok());
            prop_assert!(tag.parse::<Locale>().is_ok());
        }

        #[test]
        fn a_token_is_visible_ascii(token in "[!-~]{1,200}", bad in "[!-~]{0,20}[ \\x00-\\x1fäß][!-~]{0,20}") {
            let good = PushToken::new(Platform::Apns, &token).unwrap();
            prop_assert_eq!(good.token(), token);
            prop_assert!(PushToken::new(Platform::Apns, &bad).is_err());
        }
    }

    #[test]
    fn phones_must_exist_in_their_numbering_plan() {
        for good in ["+4930901820", "+15875302271", "+447911123456", "+33612345678"] {
            assert!(good.parse::<Phone>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "+",
            "4930901820",
            "+49",
            "+999123456789",
            "+1 587 530 2271",
            "+490301234567",
            "tel:+4930901820",
        ] {
            assert!(bad.parse::<Phone>().is_err(), "{bad}");
        }
    }

    #[test]
    fn broken_zones_and_tags_are_refused() {
        for bad in ["", "/", "Europe/", "/Berlin", "Europe//Berlin", "Europe/Ber lin", "../etc/passwd", "1/2"]
        {
            assert!(bad.parse::<TimeZone>().is_err(), "{bad}");
        }
        for bad in ["", "d", "de-", "-de", "de--CH", "de_CH", "de-x", "12", "de-123456789"] {
            assert!(bad.parse::<Locale>().is_err(), "{bad}");
        }
        assert!("Etc/GMT+5".parse::<TimeZone>().is_ok() && "UTC".parse::<TimeZone>().is_ok());
        assert!("zh-Hant-TW".parse::<Locale>().is_ok() && "es-419".parse::<Locale>().is_ok());
    }

    #[test]
    fn debug_shows_no_value() {
        let contact = Contact {
            phone: Some("+4930901820".parse().unwrap()),
            push_tokens: vec![PushToken::new(Platform::Fcm, "canary-4711").unwrap()],
            time_zone: Some("Canary/4711".replace("4711", "Zone").parse().unwrap()),
            locale: Some("de-canary".parse().unwrap()),
        };
        let shown = format!("{contact:?}");
        assert!(!shown.contains("9018") && !shown.contains("4711") && !shown.contains("anary"), "{shown}");
    }
}
