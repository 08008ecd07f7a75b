//! Log lines as the contract has them, read so that a repeated key is noticed.

use serde::de::Error;
use serde_json::Value;

/// The keys of a line, sorted.
pub const KEYS: [&str; 10] = [
    "fields", "level", "message", "service", "span_id", "target", "timestamp", "trace_flags", "trace_id",
    "version",
];

/// Reads everything that a service wrote to stdout, and panics on a line that is not as the contract has it.
pub fn read(stdout: &str, service: &str) -> Vec<Value> {
    assert!(stdout.is_empty() || stdout.ends_with('\n'), "a line was cut off: {:?}", stdout.lines().last());
    stdout.lines().map(|line| read_one(line, service)).collect()
}

/// Reads one line of a service of this name.
pub fn read_one(line: &str, service: &str) -> Value {
    let value = strict(line).unwrap_or_else(|error| panic!("{error}: {line}"));
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

/// Reads JSON in which no object repeats a key: of two that are the same, only one would be kept.
fn strict(text: &str) -> serde_json::Result<Value> {
    let value = serde_json::from_str(text)?;
    let (mut quoted, mut escaped) = (false, false);
    let colons = text.chars().filter(|letter| {
        let is_colon = *letter == ':' && !quoted;
        quoted ^= *letter == '"' && !escaped;
        escaped = *letter == '\\' && !escaped;
        is_colon
    });
    if colons.count() == members(&value) {
        Ok(value)
    } else {
        Err(serde_json::Error::custom("a key is repeated"))
    }
}

/// How many members there are at every depth.
fn members(value: &Value) -> usize {
    match value {
        Value::Object(object) => object.len() + object.values().map(members).sum::<usize>(),
        Value::Array(items) => items.iter().map(members).sum(),
        _ => 0,
    }
}

#[test]
fn a_repeated_key_is_seen_at_every_depth() {
    for repeated in [r#"{"a":1,"a":1}"#, r#"{"b":{"a":1,"a":2}}"#, r#"[{"a":1,"a":2}]"#] {
        assert!(strict(repeated).is_err(), "{repeated}");
    }
    assert!(strict(r#"{"a":{"a":[1,-1,0.5,null,true,"a:\"b\":c"]}}"#).is_ok());
}
