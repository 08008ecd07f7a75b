//! A drawn report as others read it: its text by poppler's `pdftotext`, its ink by `pdftoppm`. The font is
//! Debian's `fonts-wqy-microhei`, which has Chinese and Latin.

mod paper;
mod served;

use crate::need;
use epro_notify::{
    model::Moment,
    reports::{
        model::{Content, Report},
        preview::Fonts,
    },
};
use paper::{Paper, pages, text};
use proptest::prelude::*;
use std::{path::Path, sync::LazyLock, time::Instant};

const FONT: &str = "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc";
/// What a report holds at most, in bytes.
const LARGEST: usize = 32 * 1024;

fn fonts() -> Fonts {
    assert!(Path::new(FONT).is_file(), "{FONT} is missing: `cargo xtask test --install` fetches it");
    Fonts::open(&[FONT]).unwrap()
}

fn drawn(content: &str) -> Vec<u8> {
    static FONTS: LazyLock<Fonts> = LazyLock::new(fonts);
    let report = Report {
        report_id: "0sahnpdaw0000".to_owned(),
        submitted_at: Moment::from_unix_ms(1_795_417_814_359),
        content: Content::new(content.to_owned()),
    };
    FONTS.draw(&report).unwrap()
}

/// The report's own lines, without what stands above and below them.
fn content(pdf: &[u8]) -> Vec<String> {
    let lines = |page: &str| {
        let lines: Vec<String> = page.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        assert_eq!(lines[0], "Report 0sahnpdaw0000 2026-11-23T07:10:14Z");
        assert!(lines[1].contains(" / "), "{lines:?}");
        lines[2..].to_vec()
    };
    text(pdf).split_terminator('\u{c}').flat_map(lines).collect()
}

#[test]
fn chinese_and_latin_text_is_copied_out_as_it_was_written() {
    need("pdftotext");
    let lines = [
        "今天早上体温38.5℃，头痛（轻度）。Took 500 mg paracetamol at 07:10.",
        "Grüße, œuvre, naïve — “quoted”, ½ tablet; Ελληνικά; Русский.",
        "患者报告：无其他不适！",
        "タブレットを服用しました。",
    ];
    assert_eq!(content(&drawn(&lines.join("\n"))), lines);
    assert_eq!(content(&drawn(&lines.join("\r\n"))), lines);
}

#[test]
fn a_long_report_loses_nothing_over_its_lines_and_pages() {
    need("pdftotext");
    let words = "Slept badly, 头痛了一整天，woke at 04:30. ".repeat(LARGEST / 60);
    let unbroken = "无空格".repeat(LARGEST / 9);
    for whole in [words, unbroken, "x".repeat(LARGEST)] {
        let pdf = drawn(&whole);
        let pages = text(&pdf).matches('\u{c}').count();
        assert!((3..40).contains(&pages), "{pages} pages");
        let squeezed = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(squeezed(&content(&pdf).concat()), squeezed(&whole));
    }
}

#[test]
fn letters_are_drawn_and_not_the_box_of_what_is_missing() {
    need("pdftoppm");
    let line = |content: &str| {
        let page: Paper = pages(&drawn(content)).remove(0);
        page.between(88.0, 106.0)
    };
    let missing = line(&"\u{10ff00}".repeat(4));
    assert!(missing.ink() > 0, "what is missing has to be seen");
    let seen: Vec<Paper> = ["患者报告", "头痛发热", "abcd", "ÄßçŁ"].map(line).to_vec();
    for (at, one) in seen.iter().enumerate() {
        assert!(one.ink() > 100, "line {at} has {} dark dots", one.ink());
        assert!(*one != missing && seen[at + 1..].iter().all(|other| other != one), "line {at}");
    }
    // The font has this one, but without a line in it.
    assert!(line("℃").ink() > 0);
    // Four ideographs are as wide as four ems and no wider.
    let wide = seen[0].width();
    assert!((40.0..46.0).contains(&wide), "{wide} points");
    assert_eq!(line(" ").ink(), 0);
}

#[test]
fn nothing_is_drawn_beyond_the_margins() {
    need("pdftoppm");
    let hostile =
        ["W".repeat(3_000), "患".repeat(3_000), "a\u{300}\u{301}".repeat(3_000), "\t".repeat(500) + "x"];
    for page in hostile.iter().flat_map(|content| pages(&drawn(content))) {
        let (left, right) = page.sides();
        assert!(left > 54.0 && right < 595.3 - 54.0, "{left} to {right}");
    }
}

#[test]
fn the_same_report_is_the_same_bytes_and_holds_no_more_of_the_font_than_it_needs() {
    let content = "体温 38.5 ℃ \u{10ff00}\u{1f600}";
    let pdf = drawn(content);
    assert_eq!(pdf, drawn(content));
    assert!(pdf.len() < 40_000, "{} bytes", pdf.len());
}

#[test]
fn the_worst_32_kib_are_drawn_in_bounded_time() {
    let cases = [
        ("line ends", "\n".repeat(LARGEST)),
        ("short lines", "a\n".repeat(LARGEST / 2)),
        ("spaces", " ".repeat(LARGEST)),
        ("tabs", "\t".repeat(LARGEST)),
        ("letters", "i".repeat(LARGEST)),
        ("accents", "a".to_owned() + &"\u{301}".repeat(LARGEST / 2 - 1)),
        ("all ideographs", ('\u{4e00}'..).take(LARGEST / 3).collect()),
        ("missing", ('\u{10_0000}'..).take(LARGEST / 4).collect()),
        ("controls", "\u{1}".repeat(LARGEST)),
    ];
    for (what, content) in cases {
        let began = Instant::now();
        let pdf = drawn(&content);
        let took = began.elapsed();
        println!("{what}: {took:?}, {} bytes", pdf.len());
        assert!(took.as_secs() < 30 && pdf.len() < 8_000_000, "{what}: {took:?}, {} bytes", pdf.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_breaks_the_drawing_and_others_can_read_it(
        content in "(\\PC|[\\s\\S]|[\u{5d0}-\u{5ea}\u{621}-\u{64a}]{1,9}|[\u{300}-\u{36f}]{1,9}|[\u{200b}-\u{200f}\u{202a}-\u{202e}\u{2060}-\u{206f}\u{feff}]|[\u{1f300}-\u{1faff}]\u{fe0f}?\u{200d}?|[\u{10000}-\u{10ffff}]|\r\n|\t){0,400}",
    ) {
        need("pdftotext");
        let shown = text(&drawn(&content));
        prop_assert!(shown.contains("Report 0sahnpdaw0000"));
        let mut kept = shown.split_whitespace().collect::<String>();
        kept.retain(|c| c.is_ascii_alphanumeric());
        let mut wanted = content;
        wanted.retain(|c| c.is_ascii_alphanumeric());
        prop_assert!(kept.contains(&wanted) || kept.len() >= wanted.len(), "{kept} {wanted}");
    }
}
