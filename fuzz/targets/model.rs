//! The domain's texts and bodies: what passes its check is within its bounds.

use chassis_queue::{JobId, Priority};
use epro_notify::{
    model::{Moment, PatientId},
    notifications::{
        Message, Title,
        model::{Contact, Locale, Phone, PushLater, SmsLater, StudyId, StudyMessage, TimeZone},
    },
};
use garde::Validate;
use serde::de::DeserializeOwned;
use serde_json::{Value, from_slice, from_value};

/// A value that is read and passes its check.
fn valid<T: DeserializeOwned + Validate<Context = ()>>(json: Value) -> Option<T> {
    from_value::<T>(json).ok().filter(|value| value.validate().is_ok())
}

/// What is read is within its bounds, and an id is written as it was read.
pub fn texts(bytes: &[u8]) {
    let text = super::text(bytes);
    if let Ok(id) = text.parse::<JobId>() {
        assert_eq!(id.to_string().parse::<JobId>().ok(), Some(id));
    }
    if let Some(id) = valid::<PatientId>(text.clone().into()) {
        assert!((1..=64).contains(&id.as_str().len()) && id.as_str().is_ascii());
    }
    if let Some(id) = valid::<StudyId>(text.clone().into()) {
        assert!((1..=64).contains(&id.as_str().len()) && id.as_str().is_ascii());
    }
    if let Some(phone) = valid::<Phone>(text.clone().into()) {
        assert!(phone.as_str().starts_with('+') && phone.as_str().len() <= 16, "E.164 has 15 digits at most");
    }
    if let Ok(moment) = from_value::<Moment>(text.clone().into()) {
        assert_eq!(Moment::from_unix_ms(moment.unix_ms()).unix_ms(), moment.unix_ms());
    }
    let _ = (valid::<Message>(text.clone().into()), valid::<Title>(text.clone().into()));
    let _ = (valid::<Locale>(text.clone().into()), valid::<TimeZone>(text.clone().into()));
    let _ = from_value::<Priority>(text.into());
}

/// A body is read and checked, or refused: it never breaks.
fn body<T: DeserializeOwned + Validate<Context = ()>>(bytes: &[u8]) {
    let _ = from_slice(bytes).ok().and_then(valid::<T>);
}

pub fn sms_body(bytes: &[u8]) {
    body::<SmsLater>(bytes);
}

pub fn push_body(bytes: &[u8]) {
    body::<PushLater>(bytes);
}

pub fn patient_body(bytes: &[u8]) {
    body::<Contact>(bytes);
}

pub fn study_body(bytes: &[u8]) {
    body::<StudyMessage>(bytes);
}
