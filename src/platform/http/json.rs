//! JSON as it was sent: a `serde_json::Value`, and the keys that an object held twice (which that type
//! would forget). What the fields mean is [`super::fields`]' matter.

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// A parsed body.
#[derive(Debug)]
pub(super) struct Parsed {
    pub value: Value,
    /// JSON pointers of members whose key their object held before.
    pub duplicates: Vec<String>,
}

/// Parses one JSON text (RFC 8259). The error is serde_json's, whose position is safe to tell but whose
/// text may not be.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, serde_json::Error> {
    let mut duplicates = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Node { path: &Path::Root, duplicates: &mut duplicates }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(Parsed { value, duplicates })
}

/// One reference token of a JSON pointer (RFC 6901), shortened: the key is the caller's.
pub(super) fn token(key: &str) -> String {
    const LONGEST: usize = 64;
    let mut token = String::new();
    for (at, c) in key.chars().enumerate() {
        match c {
            _ if at == LONGEST => {
                token.push('…');
                break;
            }
            '~' => token.push_str("~0"),
            '/' => token.push_str("~1"),
            c => token.push(c),
        }
    }
    token
}

/// Where a value stands; written out only for a fault.
enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(parent, key) => write!(f, "{parent}/{}", token(key)),
            Self::Index(parent, index) => write!(f, "{parent}/{index}"),
        }
    }
}

struct Node<'a> {
    path: &'a Path<'a>,
    duplicates: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let path = Path::Index(self.path, values.len());
            let Some(value) = items.next_element_seed(Node { path: &path, duplicates: self.duplicates })?
            else {
                return Ok(Value::Array(values));
            };
            values.push(value);
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        // A body is bounded in bytes; the faults told of it are bounded as well.
        const MOST_DUPLICATES: usize = 100;
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let path = Path::Key(self.path, &key);
            if object.contains_key(&key) {
                if self.duplicates.len() == MOST_DUPLICATES {
                    return Err(A::Error::custom("too many duplicate keys"));
                }
                self.duplicates.push(path.to_string());
            }
            let value = members.next_value_seed(Node { path: &path, duplicates: self.duplicates })?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_given_twice_is_named_by_its_pointer() {
        let parsed = parse(br#"{"a":1,"b":[{"x/y":1,"x/y":2}],"a":2}"#).unwrap();
        assert_eq!(parsed.duplicates, ["/b/0/x~1y", "/a"]);
    }

    #[test]
    fn nesting_is_bounded_and_trailing_text_refused() {
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
        assert!(parse(b"{} {}").is_err());
        assert!(parse(b"1e999").is_err());
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_parse_as_serde_json_does(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let ours = parse(&bytes).ok().map(|parsed| parsed.value);
            prop_assert_eq!(ours, serde_json::from_slice::<Value>(&bytes).ok());
        }

        #[test]
        fn json_like_text_parses_as_serde_json_does(text in r#"[{}\[\],:"0-9eE+.ab\\u-]{0,40}"#) {
            let ours = parse(text.as_bytes()).ok().map(|parsed| parsed.value);
            prop_assert_eq!(ours, serde_json::from_str::<Value>(&text).ok());
        }
    }
}
