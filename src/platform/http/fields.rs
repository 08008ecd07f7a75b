//! Reads a JSON object by declared fields and collects every fault, so that a caller mends all at once.

use super::{
    json::token,
    problem::{Fault, Problem},
};
use serde_json::{Map, Value};

/// A type that a JSON value is read into; the domain's newtypes parse here, once.
pub trait Field: Sized {
    /// The error says what is expected (`"expected a string"`) and never repeats the value.
    fn read(value: &Value) -> Result<Self, String>;
}

/// The fault of a value of the wrong type, naming what was found by its type alone.
pub fn expected(what: &str, found: &Value) -> String {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    format!("expected {what}, found {found}")
}

impl Field for String {
    fn read(value: &Value) -> Result<Self, String> {
        value.as_str().map(str::to_owned).ok_or_else(|| expected("a string", value))
    }
}

impl Field for bool {
    fn read(value: &Value) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| expected("a boolean", value))
    }
}

impl Field for i64 {
    fn read(value: &Value) -> Result<Self, String> {
        value.as_i64().ok_or_else(|| expected("a whole number", value))
    }
}

/// An array of values, each read by itself.
impl<T: Field> Field for Vec<T> {
    fn read(value: &Value) -> Result<Self, String> {
        let items = value.as_array().ok_or_else(|| expected("an array", value))?;
        let read = |(at, item)| T::read(item).map_err(|fault| format!("item {at}: {fault}"));
        items.iter().enumerate().map(read).collect()
    }
}

/// The object's fields. Each declared one is asked for once; what nobody asked for is a fault.
pub struct Fields<'a> {
    object: &'a Map<String, Value>,
    path: String,
    declared: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl<'a> Fields<'a> {
    /// `duplicates` are the pointers of keys given twice, anywhere in the body.
    pub(super) fn new(object: &'a Map<String, Value>, duplicates: &[String]) -> Self {
        let mut fields = Self::at(object, String::new());
        fields.faults.extend(
            duplicates
                .iter()
                .map(|pointer| Fault { pointer: pointer.clone(), detail: "given more than once".to_owned() }),
        );
        fields
    }

    fn at(object: &'a Map<String, Value>, path: String) -> Self {
        Self { object, path, declared: Vec::new(), faults: Vec::new() }
    }

    /// A field that has to be there. `None` means that a fault was noted.
    pub fn required<T: Field>(&mut self, name: &'static str) -> Option<T> {
        self.present(name).and_then(|value| self.read(name, value))
    }

    /// A field that may be left out (`null` is not leaving it out).
    pub fn optional<T: Field>(&mut self, name: &'static str) -> Option<T> {
        self.declare(name).and_then(|value| self.read(name, value))
    }

    /// A nested object that has to be there.
    pub fn object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'a>) -> Option<T>,
    ) -> Option<T> {
        let value = self.present(name)?;
        self.nested(format!("{}/{name}", self.path), value, read)
    }

    /// An array of at most `most` objects; `None` if it is left out or faulty.
    pub fn objects<T>(
        &mut self,
        name: &'static str,
        most: usize,
        mut read: impl FnMut(&mut Fields<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let value = self.declare(name)?;
        let Some(items) = value.as_array() else {
            self.fault(name, expected("an array", value));
            return None;
        };
        if items.len() > most {
            self.fault(name, format!("at most {most} items"));
            return None;
        }
        // Not lazily: a faulty item must not hide the next one's faults.
        let mut all = Some(Vec::with_capacity(items.len()));
        for (at, item) in items.iter().enumerate() {
            let one = self.nested(format!("{}/{name}/{at}", self.path), item, &mut read);
            all = all.zip(one).map(|(mut all, one)| {
                all.push(one);
                all
            });
        }
        all
    }

    /// Notes a fault on a declared field, as one that concerns two fields together.
    pub fn fault(&mut self, name: &'static str, detail: impl Into<String>) {
        self.faults.push(Fault { pointer: format!("{}/{name}", self.path), detail: detail.into() });
    }

    /// 422 with every fault, if there is any.
    pub fn finish(self) -> Result<(), Problem> {
        let faults = self.into_faults();
        if faults.is_empty() { Ok(()) } else { Err(Problem::invalid(faults)) }
    }

    /// [`Self::finish`], and `parts` (what [`Self::required`] gave, as a tuple) without their options.
    pub fn finish_with<P: Parts>(self, parts: P) -> Result<P::Whole, Problem> {
        self.finish()?;
        // Without a fault every required field was read: the other case is a defect of the caller's.
        parts.whole().ok_or_else(Problem::internal)
    }

    fn declare(&mut self, name: &'static str) -> Option<&'a Value> {
        self.declared.push(name);
        self.object.get(name)
    }

    fn present(&mut self, name: &'static str) -> Option<&'a Value> {
        let value = self.declare(name);
        if value.is_none() {
            self.fault(name, "is required");
        }
        value
    }

    fn read<T: Field>(&mut self, name: &'static str, value: &Value) -> Option<T> {
        T::read(value).map_err(|fault| self.fault(name, fault)).ok()
    }

    fn nested<T>(
        &mut self,
        path: String,
        value: &'a Value,
        read: impl FnOnce(&mut Fields<'a>) -> Option<T>,
    ) -> Option<T> {
        let Value::Object(object) = value else {
            self.faults.push(Fault { pointer: path, detail: expected("an object", value) });
            return None;
        };
        let mut inner = Fields::at(object, path);
        let value = read(&mut inner);
        let faults = inner.into_faults();
        let faultless = faults.is_empty();
        self.faults.extend(faults);
        value.filter(|_| faultless)
    }

    fn into_faults(mut self) -> Vec<Fault> {
        let unknown = self.object.keys().filter(|key| !self.declared.contains(&key.as_str()));
        let detail = || format!("is not known; known are {}", self.declared.join(", "));
        let unknown =
            unknown.map(|key| Fault { pointer: format!("{}/{}", self.path, token(key)), detail: detail() });
        // Bounded: a body of a thousand unknown keys is one caller's mistake, not a thousand.
        self.faults.extend(unknown.take(20).collect::<Vec<_>>());
        self.faults
    }
}

/// A tuple of options that are all there or not.
pub trait Parts {
    type Whole;
    fn whole(self) -> Option<Self::Whole>;
}

macro_rules! parts {
    ($($name:ident)+) => {
        #[expect(non_snake_case, reason = "the type parameters name the tuple's parts as well")]
        impl<$($name),+> Parts for ($(Option<$name>,)+) {
            type Whole = ($($name,)+);
            fn whole(self) -> Option<Self::Whole> {
                let ($($name,)+) = self;
                Some(($($name?,)+))
            }
        }
    };
}
parts!(A);
parts!(A B);
parts!(A B C);
parts!(A B C D);
parts!(A B C D E);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::http::json::parse;
    use proptest::prelude::*;

    /// The faults of a body that has a name, may have a count, and has devices of a token each.
    fn faults(body: &str) -> Vec<(String, String)> {
        let parsed = parse(body.as_bytes()).unwrap();
        let mut fields = Fields::new(parsed.value.as_object().unwrap(), &parsed.duplicates);
        fields.required::<String>("name");
        fields.optional::<i64>("count");
        fields.objects("devices", 2, |device| device.required::<String>("token"));
        fields.into_faults().into_iter().map(|fault| (fault.pointer, fault.detail)).collect()
    }

    #[test]
    fn every_fault_is_told_at_once_by_its_pointer() {
        let told = faults(r#"{"count":"1","devices":[{"token":1},{"x":true},7],"a/b":1,"a/b":2}"#);
        let pointers: Vec<&str> = told.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/a~1b", "/name", "/count", "/devices", "/a~1b"]);
        let told = faults(r#"{"name":"n","devices":[{"token":1},{"x":true}]}"#);
        let pointers: Vec<&str> = told.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/devices/0/token", "/devices/1/token", "/devices/1/x"]);
        assert_eq!(told[0].1, "expected a string, found a number");
        assert_eq!(told[2].1, "is not known; known are token");
    }

    #[test]
    fn what_is_left_out_is_fine_only_where_it_may_be() {
        assert_eq!(faults(r#"{"name":"n"}"#), []);
        assert_eq!(faults("{}"), [("/name".to_owned(), "is required".to_owned())]);
        assert_eq!(faults(r#"{"name":"n","count":null}"#).len(), 1);
    }

    #[test]
    fn the_parts_come_out_only_without_a_fault() {
        let parsed = parse(br#"{"a":"x","b":true}"#).unwrap();
        let object = parsed.value.as_object().unwrap();
        let mut fields = Fields::new(object, &[]);
        let parts = (fields.required::<String>("a"), fields.required::<bool>("b"));
        assert_eq!(fields.finish_with(parts).unwrap(), ("x".to_owned(), true));

        let mut fields = Fields::new(object, &[]);
        let parts = (fields.required::<String>("a"),);
        assert_eq!(fields.finish_with(parts).unwrap_err().status(), 422);
    }

    proptest! {
        #[test]
        fn no_value_is_ever_repeated(value in "[a-z]{12}") {
            let told = faults(&format!(r#"{{"name":["{value}"],"count":"{value}","devices":"{value}"}}"#));
            prop_assert_eq!(told.len(), 3);
            prop_assert!(told.iter().all(|(_, detail)| !detail.contains(&value)));
        }
    }
}
