//! Settings of the preview.

use super::{Drawn, Face, draw};
use crate::platform::config::Reader;
use std::path::PathBuf;

const FONT: &str = "reports.preview.font_file";

/// The preview's settings.
#[derive(Clone, Debug)]
pub struct PreviewConfig {
    /// Without it nothing can be drawn.
    pub font: Option<Face>,
}

impl PreviewConfig {
    /// Reads `reports.preview.*`, and the font, which is tried at once: a font that breaks shows now.
    pub fn read(reader: &mut Reader) -> Self {
        let path: Option<PathBuf> = reader.optional(
            FONT,
            "font that previews of reports are drawn with: ttf, otf or ttc with all their characters",
        );
        let path = path.filter(|_| reader.reads_files());
        let tried = path.map(|path| {
            let face = Face::open(&path)?;
            let trial = Drawn { id: "0".to_owned(), submitted_at: 0, content: "Aa 文".to_owned() };
            draw(&face, &trial).map(|_pdf| face)
        });
        let font = tried.and_then(|tried| tried.map_err(|fault| reader.fault(FONT, fault.to_string())).ok());
        Self { font }
    }
}
