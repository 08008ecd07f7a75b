//! How the domain's words are read from JSON: each by its own parser, whose rule is the fault's text.

use crate::{
    notify::model::{
        Channel, Locale, Message, Moment, PatientId, Phone, Platform, TimeZone, Title, parse_priority,
    },
    platform::{
        http::{Field, expected},
        queue::{Priority, Verdict},
    },
};
use serde_json::Value;

macro_rules! read_from_text {
    ($($name:ident)+) => {
        $(impl Field for $name {
            fn read(value: &Value) -> Result<Self, String> {
                text(value)?.parse().map_err(|rule: $crate::platform::checked::Invalid| rule.to_string())
            }
        })+
    };
}
read_from_text!(PatientId Message Title Phone Platform TimeZone Locale Moment);

impl Field for Channel {
    fn read(value: &Value) -> Result<Self, String> {
        Self::of(text(value)?).ok_or_else(|| "must be sms or push".to_owned())
    }
}

impl Field for Priority {
    fn read(value: &Value) -> Result<Self, String> {
        parse_priority(text(value)?).map_err(|rule| rule.to_string())
    }
}

impl Field for Verdict {
    fn read(value: &Value) -> Result<Self, String> {
        match text(value)? {
            "delivered" => Ok(Self::Delivered),
            "dead" => Ok(Self::Dead),
            _ => Err("must be delivered or dead".to_owned()),
        }
    }
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| expected("a string", value))
}
