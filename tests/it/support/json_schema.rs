//! Values judged by JSON Schema, as far as our document uses it: a keyword that is not known here is a
//! fault, so that none is silently left out.

use regex::Regex;
use serde_json::Value;

/// What is wrong with `value`, each with its place; nothing if the schema allows it. References are
/// looked up in `document`.
pub fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut judge = Judge { document, faults: Vec::new() };
    judge.value("", schema, value);
    judge.faults
}

struct Judge<'a> {
    document: &'a Value,
    faults: Vec<String>,
}

impl Judge<'_> {
    fn value(&mut self, at: &str, schema: &Value, value: &Value) {
        for (keyword, told) in schema.as_object().unwrap() {
            let fine = match keyword.as_str() {
                "title" | "description" | "default" | "example" | "examples" => true,
                "$ref" => {
                    let target = told.as_str().unwrap().strip_prefix('#').unwrap();
                    let target =
                        self.document.pointer(target).unwrap_or_else(|| panic!("{target} is not there"));
                    self.value(at, target, value);
                    true
                }
                "allOf" => {
                    told.as_array().unwrap().iter().for_each(|schema| self.value(at, schema, value));
                    true
                }
                "oneOf" => {
                    let allowing = |schema: &&Value| faults(self.document, schema, value).is_empty();
                    told.as_array().unwrap().iter().filter(allowing).count() == 1
                }
                "enum" => told.as_array().unwrap().contains(value),
                "type" => told.as_array().map_or_else(
                    || is_a(told.as_str().unwrap(), value),
                    |kinds| kinds.iter().any(|kind| is_a(kind.as_str().unwrap(), value)),
                ),
                "properties" | "required" | "additionalProperties" => self.object(at, keyword, schema, value),
                "items" => {
                    for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.value(&format!("{at}/{place}"), told, item);
                    }
                    true
                }
                "minItems" | "maxItems" => {
                    value.as_array().is_none_or(|items| within(keyword, told, items.len() as f64))
                }
                "minLength" | "maxLength" => {
                    value.as_str().is_none_or(|text| within(keyword, told, text.chars().count() as f64))
                }
                "minimum" | "maximum" => value.as_f64().is_none_or(|number| within(keyword, told, number)),
                "pattern" => {
                    let pattern = Regex::new(told.as_str().unwrap()).unwrap();
                    value.as_str().is_none_or(|text| pattern.is_match(text))
                }
                "format" => match told.as_str().unwrap() {
                    "date-time" => value.as_str().is_none_or(|text| text.parse::<jiff::Timestamp>().is_ok()),
                    // What they say is said by `type`, `minimum` and `maximum` as well.
                    "int32" | "int64" => true,
                    other => panic!("{at}: the format {other} is not known here"),
                },
                other => panic!("{at}: the keyword {other} is not known here"),
            };
            if !fine {
                self.faults.push(format!("{at}: {keyword} {told}, found {value}"));
            }
        }
    }

    fn object(&mut self, at: &str, keyword: &str, schema: &Value, value: &Value) -> bool {
        let (Some(members), told) = (value.as_object(), &schema[keyword]) else { return true };
        match keyword {
            "properties" => {
                for (name, schema) in told.as_object().unwrap() {
                    if let Some(member) = members.get(name) {
                        self.value(&format!("{at}/{name}"), schema, member);
                    }
                }
                true
            }
            "required" => {
                told.as_array().unwrap().iter().all(|name| members.contains_key(name.as_str().unwrap()))
            }
            _ => {
                assert_eq!(told, false, "{at}: a schema of further members is not known here");
                members.keys().all(|name| schema["properties"].get(name).is_some())
            }
        }
    }
}

fn within(keyword: &str, bound: &Value, number: f64) -> bool {
    let bound = bound.as_f64().unwrap();
    if keyword.starts_with("min") { number >= bound } else { number <= bound }
}

fn is_a(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the type {other} is not known"),
    }
}
