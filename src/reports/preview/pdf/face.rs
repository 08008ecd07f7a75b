//! The font that previews are drawn with: read and tried once, when the configuration is. What is drawn is
//! not decided here.

use super::super::FontFault;
use krilla::text::Font;
use skrifa::{
    FontRef, MetadataProvider,
    charmap::Charmap,
    instance::{LocationRef, Size},
    metrics::GlyphMetrics,
};
use std::{fmt, fs::File, io::Read, path::Path, sync::Arc};

/// Bytes; the largest fonts for Chinese have 20 to 30 MB.
const LARGEST: u64 = 64 * 1024 * 1024;
/// What OpenType allows for the units of an em (`head.unitsPerEm`).
const UNITS: std::ops::RangeInclusive<u16> = 16..=16_384;

/// A font that has been proved to work. Cheap to clone.
#[derive(Clone)]
pub struct Face {
    data: Arc<Vec<u8>>,
    /// As krilla embeds it.
    pub font: Font,
    /// How far it reaches above and below the base line, in ems; both positive.
    pub ascent: f32,
    pub descent: f32,
}

impl Face {
    /// Reads a font's file: TrueType or OpenType, of a collection the first.
    ///
    /// # Errors
    /// It can't be read, is no font, has no character map, or can't be embedded.
    pub fn open(path: &Path) -> Result<Self, FontFault> {
        let unreadable = |error: std::io::Error| FontFault::Unreadable(error.kind());
        let mut data = Vec::new();
        File::open(path).map_err(unreadable)?.take(LARGEST + 1).read_to_end(&mut data).map_err(unreadable)?;
        if data.len() as u64 > LARGEST {
            return Err(FontFault::TooLarge);
        }
        Self::of(data)
    }

    /// The font that these bytes are.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of(data: Vec<u8>) -> Result<Self, FontFault> {
        let data = Arc::new(data);
        let found = FontRef::from_index(&data, 0).map_err(|_| FontFault::NoFont)?;
        let metrics = found.metrics(Size::unscaled(), LocationRef::default());
        if !UNITS.contains(&metrics.units_per_em) {
            return Err(FontFault::NoFont);
        }
        if !found.charmap().has_map() {
            return Err(FontFault::NoCharacterMap);
        }
        let em = f32::from(metrics.units_per_em);
        // A font that says nonsense of its height is drawn with the usual one.
        let height = |units: f32, usual: f32| {
            Some(units / em).filter(|ems| (0.1..=3.0).contains(ems)).unwrap_or(usual)
        };
        let (ascent, descent) = (height(metrics.ascent, 0.9), height(-metrics.descent, 0.25));
        let font = Font::new(Arc::clone(&data).into(), 0).ok_or(FontFault::NoFont)?;
        Ok(Self { data, font, ascent, descent })
    }

    /// Its tables, for the time of one drawing; `None` of no font.
    pub fn glyphs(&self) -> Option<Glyphs<'_>> {
        let found = FontRef::from_index(&self.data, 0).ok()?;
        let metrics = found.glyph_metrics(Size::unscaled(), LocationRef::default());
        Some(Glyphs { map: found.charmap(), metrics, em: self.font.units_per_em() })
    }
}

impl fmt::Debug for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Face({} bytes)", self.data.len())
    }
}

/// Which glyph a character has, and how wide that is.
pub struct Glyphs<'a> {
    map: Charmap<'a>,
    metrics: GlyphMetrics<'a>,
    em: f32,
}

/// A glyph and how far it leads, in ems; never negative.
#[derive(Clone, Copy)]
pub struct Look {
    pub glyph: u32,
    pub advance: f32,
}

impl Glyphs<'_> {
    /// How a character looks that has to be seen. One that the font does not have, or has without a line in
    /// it, looks like what is missing: a unit that silently vanishes from a report could do harm.
    pub fn visible(&self, c: char) -> Look {
        let found = self.map.map(c).filter(|glyph| !self.is_blank(*glyph));
        self.look(found.unwrap_or(skrifa::GlyphId::NOTDEF))
    }

    /// How a kind of space looks: few fonts have all of them.
    pub fn space(&self, c: char) -> Look {
        self.look(self.map.map(c).or_else(|| self.map.map(' ')).unwrap_or(skrifa::GlyphId::NOTDEF))
    }

    fn look(&self, glyph: skrifa::GlyphId) -> Look {
        let advance = self.metrics.advance_width(glyph).map_or(0.0, |units| (units / self.em).max(0.0));
        Look { glyph: glyph.to_u32(), advance }
    }

    /// `false` where it can't be known, as of pictures.
    fn is_blank(&self, glyph: skrifa::GlyphId) -> bool {
        let bounds = self.metrics.bounds(glyph);
        bounds.is_some_and(|bounds| bounds.x_min == bounds.x_max && bounds.y_min == bounds.y_max)
    }
}
