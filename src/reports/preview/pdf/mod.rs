//! A report as PDF: A4, its id and time above, its text, the pages counted below. Nothing of the patient but
//! what the report itself says; the document's own metadata hold the id and the time alone.
//!
//! The same report with the same font is the same bytes. How a text becomes lines is in `text`.

mod characters;
mod face;
mod text;

pub use face::Face;

use super::{Drawn, FontFault};
use face::Glyphs;
use jiff::{Timestamp, tz::TimeZone};
use krilla::{
    Document, SerializeSettings,
    color::luma,
    geom::Point,
    metadata::{DateTime, Metadata},
    page::PageSettings,
    paint::Fill,
    surface::Surface,
};
use text::{Glyph, Text};

/// A4 in points of 1/72 inch, as all lengths here.
const PAGE: (f32, f32) = (595.276, 841.89);
const MARGIN: f32 = 56.7;
const SIZE: f32 = 11.0;
const LINE: f32 = 16.5;
/// Between what stands above the text or below it, and the text.
const GAP: f32 = 24.0;
const SMALL: f32 = 9.0;
const GREY: u8 = 96;

/// Draws a report. CPU work of milliseconds: not for the runtime's workers.
///
/// # Errors
/// The font can't be embedded.
pub fn draw(face: &Face, report: &Drawn) -> Result<Vec<u8>, FontFault> {
    let glyphs = face.glyphs().ok_or(FontFault::NoFont)?;
    let width = PAGE.0 - 2.0 * MARGIN;
    let text = Text::set(&report.content, &glyphs, width / SIZE);
    let sheet = Sheet { face, glyphs, width };
    let submitted = Timestamp::from_millisecond(report.submitted_at).unwrap_or_default();
    let settings = SerializeSettings { enable_tagging: false, ..SerializeSettings::default() };
    let mut document = Document::new_with(settings);
    document.set_metadata(metadata(&report.id, submitted));

    let pages: Vec<_> = text.lines.chunks(sheet.lines()).collect();
    for (number, lines) in (1..).zip(&pages) {
        let Some(size) = PageSettings::from_wh(PAGE.0, PAGE.1) else { continue };
        let mut page = document.start_page_with(size);
        let mut surface = page.surface();
        if number == 1 {
            // Beside the page.
            let beside = Point::from_xy(-PAGE.0, 0.0);
            surface.draw_glyphs(beside, &[Glyph::missing()], face.font.clone(), "", SMALL, false);
        }
        sheet.note(&mut surface, &format!("Report {}", report.id), MARGIN, Side::Left);
        sheet.note(&mut surface, &format!("{submitted:.0}"), MARGIN, Side::Right);
        let below = PAGE.1 - MARGIN;
        sheet.note(&mut surface, &format!("{number} / {}", pages.len()), below, Side::Right);
        surface.set_fill(None);
        for (line, place) in lines.iter().zip(0_u16..) {
            let y = sheet.top() + f32::from(place) * LINE;
            sheet.line(&mut surface, &text, line.clone(), Point::from_xy(MARGIN, y), SIZE);
        }
        surface.finish();
        page.finish();
    }
    document.finish().map_err(|_| FontFault::NotEmbeddable)
}

enum Side {
    Left,
    Right,
}

/// What all pages have in common.
struct Sheet<'a> {
    face: &'a Face,
    glyphs: Glyphs<'a>,
    width: f32,
}

impl Sheet<'_> {
    /// The first line's base line.
    fn top(&self) -> f32 {
        MARGIN + GAP + self.face.ascent * SIZE
    }

    /// How many lines a page has.
    fn lines(&self) -> usize {
        let room = PAGE.1 - MARGIN - GAP - self.face.descent * SIZE - self.top();
        (room / LINE).max(0.0) as usize + 1
    }

    /// A small grey line with its base line at `y`.
    fn note(&self, surface: &mut Surface<'_>, content: &str, y: f32, side: Side) {
        let text = Text::set(content, &self.glyphs, f32::MAX);
        let all = 0..text.glyphs.len();
        let x = match side {
            Side::Left => MARGIN,
            Side::Right => MARGIN + self.width - text.width(all.clone()) * SMALL,
        };
        surface.set_fill(Some(Fill { paint: luma::Color::new(GREY).into(), ..Fill::default() }));
        self.line(surface, &text, all, Point::from_xy(x, y), SMALL);
    }

    fn line(
        &self,
        surface: &mut Surface<'_>,
        text: &Text,
        line: std::ops::Range<usize>,
        at: Point,
        size: f32,
    ) {
        let glyphs = text.glyphs.get(line).unwrap_or_default();
        if !glyphs.is_empty() {
            surface.draw_glyphs(at, glyphs, self.face.font.clone(), &text.text, size, false);
        }
    }
}

/// Names no person, and no time but the report's own, so that the bytes stay the same.
fn metadata(id: &str, submitted: Timestamp) -> Metadata {
    let at = submitted.to_zoned(TimeZone::UTC);
    let part = |number: i8| u8::try_from(number).unwrap_or(0);
    let date = DateTime::new(u16::try_from(at.year()).unwrap_or(0))
        .month(part(at.month()))
        .day(part(at.day()))
        .hour(part(at.hour()))
        .minute(part(at.minute()))
        .second(part(at.second()))
        .utc_offset_hour(0)
        .utc_offset_minute(0);
    Metadata::new()
        .title(format!("Report {id}"))
        .creator(env!("CARGO_PKG_NAME").to_owned())
        .creation_date(date)
}
