//! The fields of a line for a terminal: `message name=value …`.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};

/// Writes the message to one text and all other values to another.
pub(super) struct Fields<'a> {
    pub message: &'a mut String,
    pub fields: &'a mut String,
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // A value whose formatting fails is cut off where it failed.
        if field.name() == "message" {
            let _ = write!(OneLine(self.message), "{value:?}");
        } else {
            let _ = write!(self.fields, " {}=", field.name().strip_prefix("r#").unwrap_or(field.name()));
            let _ = write!(OneLine(self.fields), "{value:?}");
        }
    }
}

/// Keeps a value from ending the line or steering the terminal.
struct OneLine<'a>(&'a mut String);

impl Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if character.is_control() {
                self.0.extend(character.escape_default());
            } else {
                self.0.push(character);
            }
        }
        Ok(())
    }
}
