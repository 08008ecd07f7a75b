//! An event's fields as JSON, each written as it comes.

use std::error::Error;
use std::fmt::{Debug, Display, Write as _};

use serde::Serialize;
use tracing::field::{Field, Visit};

/// Appends a value as JSON; NaN and infinities become `null`.
pub(super) fn value(line: &mut Vec<u8>, value: impl Serialize) {
    // Writing text and numbers to memory does not fail.
    let _ = serde_json::to_writer(line, &value);
}

/// Takes the message apart from all other values, which are written each after a comma.
#[derive(Default)]
pub(super) struct Fields {
    pub message: String,
    pub others: Vec<u8>,
    text: String,
}

impl Fields {
    pub fn clear(&mut self) {
        self.message.clear();
        self.others.clear();
    }

    fn write(&mut self, field: &Field, of: impl Serialize) {
        self.others.push(b',');
        value(&mut self.others, field.name().strip_prefix("r#").unwrap_or(field.name()));
        self.others.push(b':');
        value(&mut self.others, of);
    }

    /// A value whose formatting fails is cut off where it failed.
    fn show(&mut self, field: &Field, value: impl Display) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value}");
        } else {
            let mut text = std::mem::take(&mut self.text);
            text.clear();
            let _ = write!(text, "{value}");
            self.write(field, &text);
            self.text = text;
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.write(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" { self.message.push_str(value) } else { self.write(field, value) }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.show(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.show(field, format_args!("{value:?}"));
    }
}
