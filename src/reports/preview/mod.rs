//! A report as PDF, for a person to read: drawn when it is asked for, kept nowhere. What is drawn is in `pdf`
//! (feature `pdf`), how much at once in `desk`. Without a font there is none, and the answer says so.

pub mod config;
mod desk;
#[cfg(feature = "pdf")]
mod pdf;
#[cfg(not(feature = "pdf"))]
#[path = "without.rs"]
mod pdf;

pub use desk::{Preview, Undrawn};
pub use pdf::{Face, draw};

use std::io::ErrorKind;

/// What is drawn of a report.
#[derive(Clone)]
pub struct Drawn {
    pub id: String,
    /// Unix milliseconds.
    pub submitted_at: i64,
    pub content: String,
}

/// Why a font can't be used. Names the rule, and never a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FontFault {
    #[error("cannot be read ({0}); name a font's file that the service may read")]
    Unreadable(ErrorKind),
    #[error("is larger than 64 MiB; name a smaller font")]
    TooLarge,
    #[error("is no font; name a TrueType or OpenType file (ttf, otf, ttc)")]
    NoFont,
    #[error("has no character map; name a font of Unicode text")]
    NoCharacterMap,
    #[error("cannot be embedded; name another font")]
    NotEmbeddable,
    #[error("is of no use: this build draws no PDF; build with the feature pdf, or leave it unset")]
    NotBuilt,
}
