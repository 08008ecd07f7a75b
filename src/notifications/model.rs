//! The words of the domain, and the request bodies made of them.
//!
//! Each body is one struct: serde reads it, garde checks it, utoipa describes it. A handler takes it as
//! `Valid<Json<…>>`, so it never sees a value that breaks a rule. A rule's message says what would be right and never
//! repeats the value; no `Debug` shows a value either, so none reaches a line or a span.

use crate::model::{Moment, PatientId, ensure, identifier, is_visible, texts, word};
use chassis_queue::Priority;
use garde::Validate;
use jiff::{SignedDuration, Timestamp, ToSpan as _, tz, tz::TimeZoneDatabase};
use rlibphonenumber::{PhoneNumber, PhoneNumberType};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::fmt;
use utoipa::ToSchema;

/// The caller's own identifier of a study.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[garde(transparent)]
#[schema(min_length = 1, max_length = 64, pattern = r"^[A-Za-z0-9._-]+$", example = "diary-2")]
pub struct StudyId(#[garde(custom(identifier))] String);

/// What the patient reads. Characters are Unicode scalar values; one of them at least is visible, and tab and line feed
/// are the only control characters.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[garde(transparent)]
#[schema(min_length = 1, max_length = 1600, pattern = r"^[^\u0000-\u0008\u000b-\u001f\u007f-\u009f]+$")]
pub struct Message(#[garde(custom(text::<1600>))] String);

/// The head of a push notification, with the same rules as a message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[garde(transparent)]
#[schema(min_length = 1, max_length = 120, pattern = r"^[^\u0000-\u0008\u000b-\u001f\u007f-\u009f]+$")]
pub struct Title(#[garde(custom(text::<120>))] String);

/// A telephone number in E.164 that is valid in its country's numbering plan and can receive an SMS.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[garde(transparent)]
#[schema(pattern = r"^\+[1-9][0-9]{4,14}$", example = "+4930901820")]
pub struct Phone(#[garde(custom(phone))] String);

/// A name of the IANA time zone database.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[garde(transparent)]
#[schema(max_length = 64, example = "Europe/Berlin")]
pub struct TimeZone(#[garde(custom(time_zone))] String);

/// A language tag after BCP 47, by its syntax.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[garde(transparent)]
#[schema(
    max_length = 35,
    pattern = "^[A-Za-z]{2,8}((-[A-Za-z0-9]{1,8})*-[A-Za-z0-9]{2,8})?$",
    example = "de-CH"
)]
pub struct Locale(#[garde(custom(language_tag))] String);

/// A device's token, as its push service made it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[garde(transparent)]
#[schema(min_length = 1, max_length = 4096, pattern = "^[!-~]+$")]
pub struct Token(#[garde(custom(token))] String);

texts!(StudyId Message Title Phone TimeZone Locale Token);

/// The way to the patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    Sms,
    Push,
}

impl Channel {
    pub const ALL: [Self; 2] = [Self::Sms, Self::Push];
    /// The queue's names of the channels, in the same order.
    pub const NAMES: &[&str] = &[Self::Sms.as_str(), Self::Push.as_str()];

    /// The channel of one of [`Self::NAMES`].
    pub fn of(name: &str) -> Self {
        Self::ALL.into_iter().find(|channel| channel.as_str() == name).unwrap_or(Self::Sms)
    }

    /// Its name in the queue and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Push => "push",
        }
    }
}

/// The system of a device, or the push service that a token is for. The gateway gets the word as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    Android,
    Apns,
    Fcm,
    Ios,
    Web,
}

/// A device of a patient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Device {
    #[garde(skip)]
    #[serde(deserialize_with = "word")]
    pub platform: Platform,
    #[garde(dive)]
    pub token: Token,
}

/// Read from an object alone, where serde takes a struct from an array of its fields too.
impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Device;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Device, A::Error> {
                Device::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

impl Serialize for Device {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

/// How a patient can be reached. A patient with a phone gets SMS, one with push tokens gets push.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Contact {
    #[garde(dive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<Phone>,
    /// Each device once.
    #[garde(length(max = 20), custom(distinct), dive)]
    #[schema(max_items = 20)]
    pub push_tokens: Vec<Device>,
    #[garde(dive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<TimeZone>,
    #[garde(dive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<Locale>,
}

/// An SMS to be sent while the caller waits.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SmsNow {
    #[garde(dive)]
    pub patient_id: PatientId,
    #[garde(dive)]
    pub message: Message,
}

/// An SMS to be queued.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SmsLater {
    #[garde(dive)]
    pub patient_id: PatientId,
    #[garde(dive)]
    pub message: Message,
    #[garde(skip)]
    #[serde(default = "normal", deserialize_with = "word")]
    pub priority: Priority,
    /// When to send, within a year; a time in the past means now.
    #[garde(custom(within_a_year))]
    pub send_at: Option<Moment>,
    /// No attempt begins after this time: by default 24 hours after `sendAt`, or after now.
    #[garde(custom(ends_after(self.send_at)))]
    pub not_after: Option<Moment>,
}

/// A push notification to be sent while the caller waits.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PushNow {
    #[garde(dive)]
    pub patient_id: PatientId,
    #[garde(dive)]
    pub title: Title,
    #[garde(dive)]
    pub message: Message,
}

/// A push notification to be queued.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PushLater {
    #[garde(dive)]
    pub patient_id: PatientId,
    #[garde(dive)]
    pub title: Title,
    #[garde(dive)]
    pub message: Message,
    #[garde(skip)]
    #[serde(default = "normal", deserialize_with = "word")]
    pub priority: Priority,
    /// When to send, within a year; a time in the past means now.
    #[garde(custom(within_a_year))]
    pub send_at: Option<Moment>,
    /// No attempt begins after this time: by default 24 hours after `sendAt`, or after now.
    #[garde(custom(ends_after(self.send_at)))]
    pub not_after: Option<Moment>,
}

/// A message to every patient of a study.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StudyMessage {
    #[garde(skip)]
    #[serde(deserialize_with = "word")]
    pub channel: Channel,
    /// Required for push, refused for SMS.
    #[garde(dive, custom(title_for(self.channel)))]
    pub title: Option<Title>,
    #[garde(dive)]
    pub message: Message,
    #[garde(skip)]
    #[serde(default = "bulk", deserialize_with = "word")]
    pub priority: Priority,
    /// When to send, within a year; a time in the past means now.
    #[garde(custom(within_a_year))]
    pub send_at: Option<Moment>,
    /// No attempt begins after this time: by default 24 hours after `sendAt`, or after now.
    #[garde(custom(ends_after(self.send_at)))]
    pub not_after: Option<Moment>,
}

const fn normal() -> Priority {
    Priority::Normal
}

const fn bulk() -> Priority {
    Priority::Bulk
}

/// The span of time in which attempts may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// `None` means now.
    pub send_at: Option<Moment>,
    pub not_after: Moment,
}

impl Schedule {
    const DEFAULT_LIFE: SignedDuration = SignedDuration::from_hours(24);

    /// For a message that is sent at once.
    pub fn now() -> Self {
        Self::new(None, None)
    }

    pub fn new(send_at: Option<Moment>, not_after: Option<Moment>) -> Self {
        let now = Moment::now();
        let send_at = send_at.filter(|at| *at > now);
        let last = send_at.unwrap_or(now).0.saturating_add(Self::DEFAULT_LIFE).unwrap_or(Timestamp::MAX);
        Self { send_at, not_after: not_after.unwrap_or(Moment(last)) }
    }
}

fn within_a_year(send_at: &Option<Moment>, _: &()) -> garde::Result {
    // The clocks of callers may go a little before ours.
    let last = || Timestamp::now().to_zoned(tz::TimeZone::UTC).checked_add(1.year().minutes(1));
    let too_late = |at: Moment| last().is_ok_and(|last| at.0 > last.timestamp());
    ensure(!send_at.is_some_and(too_late), "must lie within a year")
}

fn ends_after(send_at: Option<Moment>) -> impl FnOnce(&Option<Moment>, &()) -> garde::Result {
    move |not_after, ()| {
        let due = || send_at.map_or_else(Moment::now, |at| at.max(Moment::now()));
        ensure(not_after.is_none_or(|end| end > due()), "must be later than sendAt, and in the future")
    }
}

fn title_for(channel: Channel) -> impl FnOnce(&Option<Title>, &()) -> garde::Result {
    move |title, ()| match (channel, title) {
        (Channel::Sms, Some(_)) => ensure(false, "an SMS has no title"),
        (Channel::Push, None) => ensure(false, "is required for push"),
        _ => Ok(()),
    }
}

fn distinct(devices: &[Device], _: &()) -> garde::Result {
    let repeated = devices
        .iter()
        .enumerate()
        .any(|(at, device)| devices.iter().take(at).any(|d| d.token == device.token));
    ensure(!repeated, "names a token more than once")
}

fn text<const MOST: usize>(text: &str, _: &()) -> garde::Result {
    let length = text.chars().take(MOST + 1).count();
    ensure((1..=MOST).contains(&length), format_args!("must be 1 to {MOST} characters"))?;
    let control = text.chars().any(|c| c.is_control() && c != '\t' && c != '\n');
    ensure(!control, "must not contain control characters other than tab and line feed")?;
    ensure(text.chars().any(is_visible), "must contain something visible")
}

/// Checks the shape first, so that libphonenumber sees short plain texts only. The number has to be written back as it
/// came, because the library would otherwise repair it, as by dropping a national prefix.
fn phone(text: &str, _: &()) -> garde::Result {
    let digits = text.strip_prefix('+').unwrap_or_default();
    let shaped = (5..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = if shaped { text.parse::<PhoneNumber>().ok() } else { None };
    let Some(number) = number.filter(|number| number.is_valid() && number.to_string() == text) else {
        return ensure(false, "must be a valid telephone number in E.164, as +4930901820");
    };
    let takes_sms = !matches!(
        number.get_type(),
        PhoneNumberType::PremiumRate
            | PhoneNumberType::SharedCost
            | PhoneNumberType::TollFree
            | PhoneNumberType::UAN
            | PhoneNumberType::VoiceMail
    );
    ensure(takes_sms, "must be a number that can receive an SMS")
}

fn time_zone(text: &str, _: &()) -> garde::Result {
    // The database finds names in any case; only the right one is kept.
    let known = TimeZoneDatabase::bundled().get(text).is_ok_and(|zone| zone.iana_name() == Some(text));
    ensure(known, "must be a name of the IANA time zone database, as Europe/Berlin")
}

/// A language of 2 to 8 letters, then subtags of 1 to 8 letters or digits, the last of which has more than one. RFC 5646,
/// 4.4.1: no tag in use needs more than 35 characters.
fn language_tag(text: &str, _: &()) -> garde::Result {
    let mut subtags = text.split('-');
    let language = subtags.next().unwrap_or_default();
    let holds = text.len() <= 35
        && (2..=8).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
        && subtags.all(|tag| (1..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric()))
        && text.rsplit('-').next().is_some_and(|last| last.len() >= 2);
    ensure(holds, "must be a language tag after BCP 47, as de-CH")
}

fn token(text: &str, _: &()) -> garde::Result {
    let holds = (1..=4096).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    ensure(holds, "must be 1 to 4096 visible ASCII characters")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn moment(ms: i64) -> Moment {
        Moment::from_unix_ms(ms)
    }

    fn now() -> i64 {
        Moment::now().unix_ms()
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), near in "\\+?[0-9TZtz:.+ -]{0,40}") {
            for text in [text, near] {
                let _ = (text.parse::<Message>(), text.parse::<TimeZone>(), text.parse::<Token>());
                let _ = text.parse::<Locale>();
                if text.parse::<Phone>().is_ok() {
                    prop_assert!(text.len() <= 16 && text.starts_with('+'));
                }
            }
        }
    }

    #[test]
    fn texts_have_something_visible_and_no_control_characters() {
        for good in ["a".to_owned(), "ä".repeat(1600), "😀\tline\nline".to_owned(), "\u{200d}x".to_owned()]
        {
            assert!(good.parse::<Message>().is_ok(), "{good:?}");
        }
        for bad in
            ["".to_owned(), "😀".repeat(1601), " \n\u{200b}".to_owned(), "a\r".to_owned(), "\0a".to_owned()]
        {
            assert!(bad.parse::<Message>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(120).parse::<Title>().is_ok() && "a".repeat(121).parse::<Title>().is_err());
    }

    #[test]
    fn phones_are_valid_and_take_an_sms() {
        for good in ["+4930901820", "+15875302271", "+447911123456", "+33612345678"] {
            assert!(good.parse::<Phone>().is_ok(), "{good}");
        }
        let malformed = ["", "+", "4930901820", "+49", "+999123456789", "+1 587 530 2271", "tel:+4930901820"];
        let others = ["+490301234567", "+499001234567", "+18005550199", "+448081570000"];
        for bad in malformed.into_iter().chain(others) {
            assert!(bad.parse::<Phone>().is_err(), "{bad}");
        }
    }

    #[test]
    fn time_zones_are_those_of_the_database_and_locales_are_well_formed() {
        for good in ["Europe/Berlin", "UTC", "Etc/GMT+5", "Etc/UTC", "GMT0", "America/Argentina/Buenos_Aires"]
        {
            assert!(good.parse::<TimeZone>().is_ok(), "{good}");
        }
        for bad in [
            "", "Europe/", "europe/berlin", "Mars/Olympus", "../etc/passwd", "posixrules", "localtime",
            "Local", "gmt0", "etc/utc", "Etc/Unknown", "Etc/GMT+99", "GMT+5", "UTC+1", "right/Europe/Berlin",
            "posix/UTC", "CET-1CEST", "Europe//Berlin", "Europe/Berlin ", "2026f", "tzdata.zi",
            "Europe/Ber\u{200b}lin",
        ] {
            assert!(bad.parse::<TimeZone>().is_err(), "{bad}");
        }
        for good in ["de", "de-CH", "zh-Hant-TW", "es-419"] {
            assert!(good.parse::<Locale>().is_ok(), "{good}");
        }
        for bad in ["", "d", "de-", "-de", "de--CH", "de_CH", "de-x", "12", "de-123456789"] {
            assert!(bad.parse::<Locale>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_past_is_now_and_a_day_is_the_default() {
        let day = 86_400_000;
        let past = Schedule::new(Some(moment(now() - 1)), None);
        assert_eq!(past.send_at, None);
        assert!((past.not_after.unix_ms() - now() - day).abs() < 10_000);
        let later = Schedule::new(Some(moment(now() + day)), None);
        assert_eq!(later.not_after.unix_ms() - later.send_at.unwrap().unix_ms(), day);
    }

    #[test]
    fn every_fault_of_a_body_is_found_at_once() {
        let day = |days: i64| moment(now() + days * 86_400_000);
        let faults = |body| {
            let message: StudyMessage = serde_json::from_value(body).unwrap();
            let report = message.validate().err().map(garde::Report::into_inner).unwrap_or_default();
            report.into_iter().map(|(path, _)| path.to_string()).collect::<Vec<_>>()
        };
        assert!(faults(json!({"channel": "sms", "message": "x", "sendAt": day(365)})).is_empty());
        assert_eq!(faults(json!({"channel": "push", "message": "x"})), ["title"]);
        assert_eq!(faults(json!({"channel": "sms", "message": "x", "notAfter": day(0)})), ["not_after"]);
        let bad = json!({
            "channel": "sms", "title": "", "message": "", "sendAt": day(400), "notAfter": day(1),
        });
        assert_eq!(faults(bad), ["message", "not_after", "send_at", "title", "title"]);
    }

    #[test]
    fn debug_and_faults_show_no_value() {
        let body = r#"{"phone": "+4930901820", "pushTokens": [{"platform": "fcm", "token": "canary-4711"}]}"#;
        let contact: Contact = serde_json::from_str(body).unwrap();
        let shown =
            format!("{contact:?} {:?} {:?}", "canary 4711".parse::<PatientId>(), "4711".parse::<Message>());
        assert!(!shown.contains("9018") && !shown.contains("4711"), "{shown}");
    }
}
