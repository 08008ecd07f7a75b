//! JSON as the lines need it: strings, and a visitor that writes an event's fields as they come.

use std::{
    error::Error,
    fmt::{self, Debug, Write},
};

use tracing::field::{Field, Visit};

/// Appends `text` as a JSON string with its quotes.
pub(super) fn string(line: &mut String, text: &str) {
    line.push('"');
    escape(line, text);
    line.push('"');
}

/// Appends `text` as it stands inside a JSON string.
fn escape(line: &mut String, text: &str) {
    // Nearly every text is clean; without a way out of the loop many bytes are looked at at once.
    if !text.bytes().fold(false, |found, byte| found | needs_escape(byte)) {
        return line.push_str(text);
    }
    let mut clean_from = 0;
    for (at, byte) in text.bytes().enumerate().filter(|(_, byte)| needs_escape(*byte)) {
        // Only ASCII bytes come here, and they never stand inside a longer character.
        line.push_str(text.get(clean_from..at).unwrap_or_default());
        clean_from = at + 1;
        match byte {
            b'"' => line.push_str("\\\""),
            b'\\' => line.push_str("\\\\"),
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            _ => drop(write!(line, "\\u{byte:04x}")),
        }
    }
    line.push_str(text.get(clean_from..).unwrap_or_default());
}

fn needs_escape(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\')
}

/// Escapes what a value's own formatting writes.
struct Escaping<'a>(&'a mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

/// Writes the message to one text and all other values, each after a comma, to another.
pub(super) struct Fields<'a> {
    pub message: &'a mut String,
    pub fields: &'a mut String,
}

impl Fields<'_> {
    /// A value that JSON writes without quotes.
    fn bare(&mut self, field: &Field, value: impl fmt::Display) {
        self.name(field);
        let _ = write!(self.fields, "{value}");
    }

    /// A value whose formatting fails is cut off where it failed.
    fn text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if field.name() == "message" {
            let _ = Escaping(self.message).write_fmt(value);
        } else {
            self.name(field);
            self.fields.push('"');
            let _ = Escaping(self.fields).write_fmt(value);
            self.fields.push('"');
        }
    }

    fn name(&mut self, field: &Field) {
        self.fields.push(',');
        string(self.fields, field.name().strip_prefix("r#").unwrap_or(field.name()));
        self.fields.push(':');
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has neither NaN nor infinities; Rust's `{:?}` of all others is JSON.
        if value.is_finite() { self.bare(field, format_args!("{value:?}")) } else { self.bare(field, "null") }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, itoa::Buffer::new().format(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, itoa::Buffer::new().format(value));
    }

    // Beyond 64 bits most readers of JSON would round.
    fn record_i128(&mut self, field: &Field, value: i128) {
        self.text(field, format_args!("{value}"));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.text(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            escape(self.message, value);
        } else {
            self.name(field);
            string(self.fields, value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.text(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_string_reads_back(text in "[\\x00-\\x1f\\x7f\"\\\\a\u{2028}é]*|\\PC*") {
            let mut line = String::new();
            string(&mut line, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }

        #[test]
        fn a_float_is_read_back(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            let text = format!("{value:?}");
            // serde_json reads the last digit only roughly, but knows what JSON is.
            prop_assert!(serde_json::from_str::<f64>(&text).is_ok());
            prop_assert_eq!(text.parse::<f64>().unwrap(), value);
        }
    }
}
