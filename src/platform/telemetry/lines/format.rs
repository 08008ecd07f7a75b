//! The choice between lines for machines and lines for people.

use crate::platform::config::Parse;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// For a terminal.
    Pretty,
}

impl Parse for Format {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "pretty" => Ok(Self::Pretty),
            _ => Err("is neither `json` nor `pretty`".to_owned()),
        }
    }
}
