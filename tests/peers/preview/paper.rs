//! Poppler's view of a PDF: its text, and its pages in grey.

use std::{
    io::Write,
    process::{Command, Output},
};

/// Dots of a side of a square inch.
const RESOLUTION: f32 = 144.0;
/// Darker than this is ink: 0 is black.
const INK: u8 = 160;

/// A page, or a strip of one, in dots of grey.
#[derive(Clone, PartialEq, Eq)]
pub struct Paper {
    width: usize,
    dots: Vec<u8>,
}

/// What can be copied out of a PDF; each page ends with a form feed.
pub fn text(pdf: &[u8]) -> String {
    let answer = run("pdftotext", &["-raw", "-enc", "UTF-8"], pdf, &["-"]);
    String::from_utf8(answer.stdout).unwrap()
}

/// All pages.
pub fn pages(pdf: &[u8]) -> Vec<Paper> {
    let resolution = RESOLUTION.to_string();
    let mut dots = run("pdftoppm", &["-gray", "-r", &resolution], pdf, &[]).stdout;
    let mut pages = Vec::new();
    while !dots.is_empty() {
        // `P5`, width and height, and the greatest value, each with one blank after it.
        let head: Vec<usize> = (0..dots.len()).filter(|at| dots[*at].is_ascii_whitespace()).take(4).collect();
        let number = |from: usize, to: usize| -> usize {
            std::str::from_utf8(&dots[head[from] + 1..head[to]]).unwrap().parse().unwrap()
        };
        let (width, height, begin) = (number(0, 1), number(1, 2), head[3] + 1);
        let rest = dots.split_off(begin + width * height);
        pages.push(Paper { width, dots: dots.split_off(begin) });
        dots = rest;
    }
    pages
}

impl Paper {
    /// The strip between these heights, in points from above.
    pub fn between(&self, above: f32, below: f32) -> Self {
        let row = |points: f32| (points * RESOLUTION / 72.0) as usize * self.width;
        Self { width: self.width, dots: self.dots[row(above)..row(below)].to_vec() }
    }

    /// How many dots are dark.
    pub fn ink(&self) -> usize {
        self.dots.iter().filter(|dot| **dot < INK).count()
    }

    /// The leftmost and the rightmost ink, in points from the left.
    pub fn sides(&self) -> (f32, f32) {
        let dark = self.dots.iter().enumerate().filter(|(_, dot)| **dot < INK).map(|(at, _)| at % self.width);
        let (left, right) = dark.fold((self.width, 0), |(left, right), x| (left.min(x), right.max(x)));
        (left as f32 * 72.0 / RESOLUTION, right as f32 * 72.0 / RESOLUTION)
    }

    /// How far its ink reaches, in points.
    pub fn width(&self) -> f32 {
        let (left, right) = self.sides();
        right - left
    }
}

fn run(program: &str, before: &[&str], pdf: &[u8], after: &[&str]) -> Output {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pdf).unwrap();
    let answer = Command::new(program).args(before).arg(file.path()).args(after).output().unwrap();
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(answer.status.success() && said.is_empty(), "{program}: {said}");
    answer
}
