//! In place of `pdf`, where the feature is left out: no font is ever there.

use super::{Drawn, FontFault};
use std::path::Path;

/// There is none.
#[derive(Clone, Debug)]
pub enum Face {}

impl Face {
    /// Says that this build has no use for a font.
    ///
    /// # Errors
    /// Always.
    pub fn open(_path: &Path) -> Result<Self, FontFault> {
        Err(FontFault::NotBuilt)
    }
}

/// Nothing to draw with: never called.
///
/// # Errors
/// None: there is no font to call it with.
pub fn draw(face: &Face, _report: &Drawn) -> Result<Vec<u8>, FontFault> {
    match *face {}
}
