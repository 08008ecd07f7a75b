//! Log lines as the contract has them, read so that a repeated key is noticed.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// The keys of a line, sorted.
pub const KEYS: [&str; 10] = [
    "fields",
    "level",
    "message",
    "service",
    "span_id",
    "target",
    "timestamp",
    "trace_flags",
    "trace_id",
    "version",
];

/// Reads everything that a service wrote to stdout, and panics on a line that is not as the contract has it.
pub fn read(stdout: &str, service: &str) -> Vec<Value> {
    assert!(stdout.is_empty() || stdout.ends_with('\n'), "a line was cut off: {:?}", stdout.lines().last());
    stdout.lines().map(|line| read_one(line, service)).collect()
}

/// Reads one line of a service of this name.
pub fn read_one(line: &str, service: &str) -> Value {
    let Strict(value) = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {line}"));
    let mut keys: Vec<&str> = object.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, KEYS, "{line}");
    let text = |key: &str| value[key].as_str().unwrap_or_else(|| panic!("{key} is no text: {line}"));
    for (key, length) in [("trace_id", 32), ("span_id", 16)] {
        let id = text(key);
        let hex = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        assert!(id.len() == length && hex && id.bytes().any(|byte| byte != b'0'), "{key}: {line}");
    }
    assert!(matches!(text("trace_flags"), "00" | "01" | "02" | "03"), "{line}");
    assert!(matches!(text("level"), "ERROR" | "WARN" | "INFO" | "DEBUG" | "TRACE"), "{line}");
    // 2026-01-01T00:00:00.000000Z
    let digits = |byte: u8| if byte.is_ascii_digit() { b'0' } else { byte };
    let form: Vec<u8> = text("timestamp").bytes().map(digits).collect();
    assert_eq!(form, b"0000-00-00T00:00:00.000000Z", "{line}");
    assert_eq!(text("service"), service, "{line}");
    assert!(!text("target").is_empty() && !text("version").is_empty(), "{line}");
    // An event of a library may have fields alone.
    assert!(!text("message").is_empty() || value["fields"] != serde_json::json!({}), "{line}");
    assert!(value["fields"].is_object(), "{line}");
    value
}

/// JSON in which no object repeats a key.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading).map(Strict)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated keys")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(array.into())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {key:?} is repeated")));
            }
            object.insert(key, value);
        }
        Ok(object.into())
    }
}

#[test]
fn a_repeated_key_is_seen_at_every_depth() {
    for repeated in [r#"{"a":1,"a":1}"#, r#"{"b":{"a":1,"a":2}}"#, r#"[{"a":1,"a":2}]"#] {
        assert!(serde_json::from_str::<Strict>(repeated).is_err(), "{repeated}");
    }
    assert!(serde_json::from_str::<Strict>(r#"{"a":{"a":[1,-1,0.5,null,true,"a"]}}"#).is_ok());
}
