//! A report as PDF: A4, its id and time above, its text, the page numbers below. parley chooses fonts, shapes and breaks
//! lines; krilla writes the glyphs. The same report with the same fonts gives the same bytes.

use super::model::{Content, Report};
use super::{PREVIEW, metrics};
use crate::error::ApiError;
use crate::model::{Moment, is_visible};
use chassis_resilience::Degradation;
use krilla::text::{Font, GlyphId, KrillaGlyph};
use krilla::{Document, SerializeSettings, color::luma, geom::Point, metadata::Metadata};
use krilla::{page::PageSettings, paint::Fill, surface::Surface};
use parley::fontique::{Blob, Collection, CollectionOptions, SourceCache};
use parley::{FontContext, FontFamily, Layout, LayoutContext, OverflowWrap};
use parley::{PositionedLayoutItem, Run, StyleProperty};
use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};
use std::time::{Duration, Instant};
use std::{io, ops::Range, path::Path, sync::Arc, thread};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// A4, in points of 1/72 inch, as are all lengths here.
const PAGE: (f32, f32) = (595.276, 841.89);
const MARGIN: f32 = 56.7;
/// Between the text and the notes above and below it.
const GAP: f32 = 24.0;
const SIZE: f32 = 11.0;
const SMALL: f32 = 9.0;
const GREY: u8 = 96;
/// How long a caller waits for its turn.
const PATIENCE: Duration = Duration::from_millis(500);
/// 19 is the least urgent: under load about a seventieth of what a thread of niceness 0 gets.
const NICENESS: i32 = 19;

/// Draws previews, a few at a time: drawing takes half of the processors at most.
pub struct Preview {
    fonts: Fonts,
    turns: Arc<Semaphore>,
    degradation: Degradation,
}

impl Preview {
    pub fn new(fonts: Fonts, degradation: &Degradation) -> Self {
        let turns = thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        Self { fonts, turns: Arc::new(Semaphore::new(turns)), degradation: degradation.clone() }
    }

    /// The report as PDF.
    ///
    /// # Errors
    /// Too many are being drawn, or it can't be drawn.
    pub async fn draw(&self, report: Report) -> Result<Vec<u8>, ApiError> {
        let turn = timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| self.degradation.shed(PREVIEW, Duration::from_secs(1)))?;
        let (fonts, (reply, drawn)) = (self.fonts.clone(), oneshot::channel());
        let span = tracing::info_span!("draw report");
        // A thread of its own, because Linux sets niceness by thread: submissions go first. The turn ends with the work,
        // even if the caller has left.
        let draw = move || {
            let (_turn, _entered) = (turn, span.enter());
            let _ = rustix::process::setpriority_process(None, NICENESS);
            let begun = Instant::now();
            let pdf = fonts.draw(&report);
            metrics::preview(begun.elapsed());
            let _ = reply.send(pdf);
        };
        thread::Builder::new().name("preview".to_owned()).spawn(draw).map_err(|_| ApiError::Internal)?;
        drawn.await.ok().and_then(Result::ok).ok_or(ApiError::Internal)
    }
}

/// Why fonts can't be used. Names the rule and never a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FontError {
    #[error("cannot be read ({0}): name font files that the service may read")]
    Unreadable(io::ErrorKind),
    #[error("is not a font: name TrueType or OpenType files (ttf, otf, ttc)")]
    NotAFont,
    #[error("cannot be embedded: name another font")]
    NotEmbeddable,
}

/// The fonts that previews are drawn with, proved to work.
#[derive(Clone)]
pub struct Fonts {
    context: FontContext,
    /// Their families in CSS: a character comes from the first that has it.
    families: String,
    /// For krilla, by parley's blob and index.
    faces: Vec<(u64, u32, Font)>,
}

impl Fonts {
    /// Reads font files and draws a page with them, so that a font that breaks is found at start.
    ///
    /// # Errors
    /// A file can't be read, is not a font, or can't be embedded.
    pub fn open<P: AsRef<Path>>(files: &[P]) -> Result<Self, FontError> {
        let collection = Collection::new(CollectionOptions { shared: false, system_fonts: false });
        let mut context = FontContext { collection, source_cache: SourceCache::default() };
        let (mut families, mut faces) = (Vec::new(), Vec::new());
        for file in files {
            let data = Arc::new(std::fs::read(file).map_err(|error| FontError::Unreadable(error.kind()))?);
            let blob = Blob::new(Arc::clone(&data) as _);
            let found = context.collection.register_fonts(blob.clone(), None);
            // Of a collection, the family of its first font.
            let first = found.iter().find(|(_, fonts)| fonts.iter().any(|font| font.index() == 0));
            let (family, fonts) = first.ok_or(FontError::NotAFont)?;
            families.extend(context.collection.family_name(*family).map(|name| format!("\"{name}\"")));
            for font in fonts {
                let face = Font::new(Arc::clone(&data).into(), font.index());
                faces.push((blob.id(), font.index(), face.ok_or(FontError::NotEmbeddable)?));
            }
        }
        let fonts = Self { context, families: families.join(", "), faces };
        let (content, submitted_at) = (Content::new("Aa 文".to_owned()), Moment::from_unix_ms(0));
        fonts.draw(&Report { report_id: "0".to_owned(), content, submitted_at }).map(|_pdf| fonts)
    }

    /// Draws a report. Takes milliseconds of processor time: not for the runtime's workers.
    ///
    /// # Errors
    /// A font can't be embedded.
    pub fn draw(&self, report: &Report) -> Result<Vec<u8>, FontError> {
        let (mut context, mut layouts) = (self.context.clone(), LayoutContext::new());
        let mut set = |text: String, size, width| {
            let mut builder = layouts.ranged_builder(&mut context, &text, 1.0, true);
            builder.push_default(StyleProperty::FontSize(size));
            builder.push_default(FontFamily::Source(self.families.as_str().into()));
            builder.push_default(OverflowWrap::Anywhere);
            let mut layout = builder.build(&text);
            layout.break_all_lines(width);
            Text { text, size, layout }
        };
        let title = set(format!("Report {}", report.report_id), SMALL, None);
        let time = set(format!("{:.0}", report.submitted_at.0), SMALL, None);
        let content = set(printable(report.content.as_str()), SIZE, Some(PAGE.0 - 2.0 * MARGIN));
        let pages = paginate(&content.layout, PAGE.1 - 2.0 * (MARGIN + GAP));
        let settings = SerializeSettings { enable_tagging: false, ..SerializeSettings::default() };
        let mut document = Document::new_with(settings);
        document.set_metadata(Metadata::new().title(title.text.clone()));
        let size = PageSettings::from_wh(PAGE.0, PAGE.1).ok_or(FontError::NotEmbeddable)?;
        for (number, lines) in (1..).zip(&pages) {
            let count = set(format!("{number} / {}", pages.len()), SMALL, None);
            let mut page = document.start_page_with(size.clone());
            let mut surface = page.surface();
            if number == 1 {
                self.faces.iter().for_each(|(.., font)| spell_out_missing(font, &mut surface));
            }
            surface.set_fill(Some(Fill { paint: luma::Color::new(GREY).into(), ..Fill::default() }));
            let (right, below) = (PAGE.0 - MARGIN, PAGE.1 - MARGIN);
            self.put(&mut surface, &title, 0..1, (MARGIN, MARGIN - SMALL));
            self.put(&mut surface, &time, 0..1, (right - time.layout.width(), MARGIN - SMALL));
            self.put(&mut surface, &count, 0..1, (right - count.layout.width(), below - SMALL));
            surface.set_fill(None);
            self.put(&mut surface, &content, lines.clone(), (MARGIN, MARGIN + GAP));
            surface.finish();
            page.finish();
        }
        document.finish().map_err(|_| FontError::NotEmbeddable)
    }

    /// Draws some lines of a text, the first with its upper left corner at `x` and `y`.
    fn put(&self, surface: &mut Surface<'_>, text: &Text, lines: Range<usize>, (x, y): (f32, f32)) {
        let Text { text, size, layout } = text;
        let top = layout.get(lines.start).map_or(0.0, |line| line.metrics().block_min_coord);
        let items =
            lines.filter_map(|line| layout.get(line)).flat_map(|line| line.items().collect::<Vec<_>>());
        for item in items {
            let PositionedLayoutItem::GlyphRun(run) = item else { continue };
            let data = run.run().font();
            let face = self.faces.iter().find(|(id, index, _)| (*id, *index) == (data.data.id(), data.index));
            let Some((.., font)) = face else { continue };
            let (begin, glyphs) =
                (Point::from_xy(x + run.offset(), y - top + run.baseline()), glyphs(run.run(), text));
            surface.draw_glyphs(begin, &glyphs, font.clone(), text, *size, false);
        }
    }
}

/// A run's glyphs for krilla, whose lengths are in ems.
fn glyphs(run: &Run<'_, ()>, text: &str) -> Vec<KrillaGlyph> {
    let (data, size) = (run.font(), run.font_size());
    let font = FontRef::from_index(data.data.data(), data.index).ok();
    let metrics = font.as_ref().map(|font| font.glyph_metrics(Size::unscaled(), LocationRef::default()));
    // Some fonts have ℃ as a glyph without an outline: the box of a missing one has to stand there.
    let blank = |id: u32| {
        let bounds = metrics.as_ref().and_then(|metrics| metrics.bounds(id.into()));
        bounds.is_some_and(|bounds| bounds.x_min == bounds.x_max && bounds.y_min == bounds.y_max)
    };
    let mut all = Vec::new();
    for cluster in run.visual_clusters() {
        let range = cluster.text_range();
        let visible = text.get(range.clone()).is_some_and(|text| text.contains(is_visible));
        for glyph in cluster.glyphs() {
            let id = GlyphId::new(if visible && blank(glyph.id) { 0 } else { glyph.id });
            let [advance, dx, dy] = [glyph.advance, glyph.x, glyph.y].map(|length| length / size);
            all.push(KrillaGlyph::new(id, advance, dx, dy, 0.0, range.clone(), None));
        }
    }
    all
}

/// A PDF gives one text for each glyph of a font, and spells out any other where it stands. Readers pass over the text of
/// `.notdef`: drawn first, beside the page and with an empty text, it is spelled out everywhere else.
fn spell_out_missing(font: &Font, surface: &mut Surface<'_>) {
    let missing = KrillaGlyph::new(GlyphId::new(0), 0.0, 0.0, 0.0, 0.0, 0..0, None);
    surface.draw_glyphs(Point::from_xy(-PAGE.0, 0.0), &[missing], font.clone(), "", SMALL, false);
}

/// A text in lines.
struct Text {
    text: String,
    size: f32,
    layout: Layout<()>,
}

/// The lines of each page.
fn paginate(layout: &Layout<()>, height: f32) -> Vec<Range<usize>> {
    let (mut pages, mut begin, mut top) = (Vec::new(), 0, 0.0);
    for (at, line) in layout.lines().enumerate() {
        let metrics = line.metrics();
        if metrics.block_max_coord - top > height && at > begin {
            pages.push(begin..at);
            (begin, top) = (at, metrics.block_min_coord);
        }
    }
    pages.push(begin..layout.len());
    pages
}

/// The text with a space for a tab, and U+FFFD for any other control character, so that none goes unnoticed.
fn printable(content: &str) -> String {
    let shown = |c| match c {
        '\n' | '\r' => '\n',
        '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    content.replace("\r\n", "\n").chars().map(shown).collect()
}
