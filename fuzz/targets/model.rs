//! The domain's texts, each read into a type that cannot be invalid.

use epro_notify::{
    notify::model::{
        Locale, Message, Moment, PatientId, Phone, Platform, StudyId, TimeZone, Title, parse_priority,
    },
    platform::{auth::Scope, queue::JobId},
};

/// What is read is within its bounds, and an id is written as it was read.
pub fn texts(bytes: &[u8]) {
    let text = super::text(bytes);
    if let Ok(id) = text.parse::<JobId>() {
        assert_eq!(id.to_string().parse::<JobId>().ok(), Some(id));
    }
    if let Ok(id) = text.parse::<PatientId>() {
        assert!((1..=64).contains(&id.as_str().len()) && id.as_str().is_ascii());
    }
    if let Ok(id) = text.parse::<StudyId>() {
        assert!((1..=64).contains(&id.as_str().len()) && id.as_str().is_ascii());
    }
    if let Ok(phone) = text.parse::<Phone>() {
        assert!(phone.as_str().starts_with('+') && phone.as_str().len() <= 16, "E.164 has 15 digits at most");
    }
    if let Ok(moment) = text.parse::<Moment>() {
        assert_eq!(Moment::from_unix_ms(moment.unix_ms()), Some(moment));
    }
    let _ =
        (text.parse::<Message>(), text.parse::<Title>(), text.parse::<Locale>(), text.parse::<TimeZone>());
    let _ = (parse_priority(&text), text.parse::<Platform>(), text.parse::<Scope>());
}
