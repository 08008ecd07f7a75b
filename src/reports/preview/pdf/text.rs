//! A text as glyphs in lines: each character's glyph by the font's own map, lines no wider than they may be.
//!
//! Text runs from left to right in the order that it is written in; letters are neither joined nor
//! reordered, which Chinese, Japanese, Latin, Greek and Cyrillic do not need, and Arabic or Hindi would.

use super::{
    characters::{Class, Shown, class, may_break, shown},
    face::{Glyphs, Look},
};
use krilla::{surface::Location, text::GlyphId};
use std::{collections::HashMap, ops::Range};

/// How far the stops of tabs are apart, in ems.
const TAB: f32 = 2.0;

/// A character's glyph. A character that the font does not have has the glyph `.notdef`.
#[derive(Clone, Debug)]
pub struct Glyph {
    id: u32,
    /// In ems.
    advance: f32,
    /// The character's bytes in the text.
    text: Range<usize>,
    class: Class,
    may_begin_line: bool,
    is_tab: bool,
}

impl Glyph {
    /// `.notdef` for no text at all.
    ///
    /// A PDF says once for each glyph of its font which text that is, and spells out any other text where it
    /// stands. `.notdef` has many, and readers pass over what the font says of it: drawn like this first, all
    /// of them are spelt out.
    pub fn missing() -> Self {
        let class = Class::Other;
        Self { id: 0, advance: 0.0, text: 0..0, class, may_begin_line: false, is_tab: false }
    }
}

/// A text in lines.
#[derive(Default)]
pub struct Text {
    /// What can be copied out of the page; lines end without a character of their own.
    pub text: String,
    pub glyphs: Vec<Glyph>,
    /// The glyphs of each line, without spaces at its end.
    pub lines: Vec<Range<usize>>,
    /// What was asked of the font already.
    looks: HashMap<char, Look>,
}

impl Text {
    /// Sets a text in lines of at most so many ems.
    pub fn set(content: &str, glyphs: &Glyphs<'_>, width: f32) -> Self {
        let mut text = Self::default();
        let (mut begin, mut may_begin_line) = (0, false);
        let mut characters = content.chars().peekable();
        while let Some(c) = characters.next() {
            match shown(c) {
                Shown::LineEnd => {
                    if c == '\r' {
                        characters.next_if_eq(&'\n');
                    }
                    text.wrap(begin, width);
                    begin = text.glyphs.len();
                }
                Shown::Nothing => {}
                Shown::Break => may_begin_line = true,
                Shown::Tab => text.push(' ', glyphs, true, &mut may_begin_line),
                Shown::Plain => text.push(c, glyphs, false, &mut may_begin_line),
                Shown::Replaced => text.push('\u{fffd}', glyphs, false, &mut may_begin_line),
            }
        }
        text.wrap(begin, width);
        text
    }

    /// How wide a line is, in ems.
    pub fn width(&self, line: Range<usize>) -> f32 {
        self.glyphs.get(line).unwrap_or_default().iter().map(|glyph| glyph.advance).sum()
    }

    fn push(&mut self, c: char, glyphs: &Glyphs<'_>, is_tab: bool, may_begin_line: &mut bool) {
        let class = class(c);
        let look = || if c.is_whitespace() { glyphs.space(c) } else { glyphs.visible(c) };
        let Look { glyph: id, advance } = *self.looks.entry(c).or_insert_with(look);
        let follows = self.glyphs.last().is_some_and(|before| may_break(before.class, class));
        // What takes no room of its own, as an accent, belongs to what it stands on.
        let may_begin_line = (std::mem::take(may_begin_line) || follows) && advance > 0.0;
        let begin = self.text.len();
        self.text.push(c);
        self.glyphs.push(Glyph { id, advance, text: begin..self.text.len(), class, may_begin_line, is_tab });
    }

    /// Sets the glyphs from `begin` on, which are one paragraph, in lines.
    fn wrap(&mut self, mut begin: usize, width: f32) {
        loop {
            let end = self.line_end(begin, width);
            self.lines.push(begin..self.without_spaces(begin, end));
            if end >= self.glyphs.len() {
                return;
            }
            begin = end;
        }
    }

    /// Where the line from `begin` on ends: at the last place that allows it, or where it is full if none does.
    fn line_end(&mut self, begin: usize, width: f32) -> usize {
        let (mut x, mut last) = (0.0_f32, None);
        for (at, glyph) in self.glyphs.iter_mut().enumerate().skip(begin) {
            if glyph.is_tab {
                glyph.advance = ((x / TAB).floor() + 1.0) * TAB - x;
            }
            if at > begin && glyph.may_begin_line {
                last = Some(at);
            }
            x += glyph.advance;
            let fits = x <= width || glyph.class == Class::Space || glyph.advance == 0.0;
            if !fits && at > begin {
                return last.unwrap_or(at);
            }
        }
        self.glyphs.len()
    }

    fn without_spaces(&self, begin: usize, end: usize) -> usize {
        let glyphs = self.glyphs.get(begin..end).unwrap_or_default();
        begin + glyphs.iter().rposition(|glyph| glyph.class != Class::Space).map_or(0, |last| last + 1)
    }
}

impl krilla::text::Glyph for Glyph {
    fn glyph_id(&self) -> GlyphId {
        GlyphId::new(self.id)
    }

    fn text_range(&self) -> Range<usize> {
        self.text.clone()
    }

    fn x_advance(&self, size: f32) -> f32 {
        self.advance * size
    }

    fn x_offset(&self, _size: f32) -> f32 {
        0.0
    }

    fn y_offset(&self, _size: f32) -> f32 {
        0.0
    }

    fn y_advance(&self, _size: f32) -> f32 {
        0.0
    }

    fn location(&self) -> Option<Location> {
        None
    }
}
