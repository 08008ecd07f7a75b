//! Random inputs near given ones, the same on every run with the same number.

use rand::{Rng, SeedableRng, rngs::StdRng};

/// What parsers stumble over.
#[rustfmt::skip]
const WORDS: &[&str] = &[
    "\r\n", "\r\n\r\n", "\n\n", "\0", "\t", " ", "\"", "\\", "{", "}", "[", "]", ",", ":", ";", "=", "*",
    "%", "%00", "%ff", "%2F", "../", "//", "?", "#", "\u{feff}", "\u{10ffff}", "é", "-1", "0", "00",
    "1e400", "-0", "18446744073709551616", "NaN", "null", "true", "{}", "[]", "\"\\ud800\"", "gzip;q=0",
    "Bearer ", "00-", "[::1]", "0.0.0.0/0", "Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n",
    "HTTP/1.0", "PRI * HTTP/2.0\r\n\r\n",
];
/// Longer than this no input grows, in bytes.
const LONGEST: usize = 16 * 1024;

pub struct Mutator(StdRng);

impl Mutator {
    pub fn new(number: u64) -> Self {
        Self(StdRng::seed_from_u64(number))
    }

    /// One of the seeds, changed in a few places. There is at least one seed.
    pub fn near(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.one_of(seeds).clone();
        self.change(&mut bytes, seeds);
        // Mostly few: what is broken in many places is refused at the first.
        while self.0.random_bool(0.4) {
            self.change(&mut bytes, seeds);
        }
        bytes.truncate(LONGEST);
        bytes
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.0.random_range(0..all.len())]
    }

    fn change(&mut self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let (from, to) = self.range(bytes.len());
        match self.0.random_range(0..8) {
            0 => bytes.iter_mut().skip(from).take(1).for_each(|byte| *byte ^= 1 << self.0.random_range(0..8)),
            1 => bytes.iter_mut().skip(from).take(1).for_each(|byte| *byte = self.0.random()),
            2 => drop(bytes.drain(from..to)),
            3 => {
                let again = bytes[from..to].repeat(self.0.random_range(1..=8));
                bytes.splice(from..from, again);
            }
            4 => {
                let other = self.one_of(seeds).clone();
                bytes.truncate(from);
                bytes.extend_from_slice(&other[self.range(other.len()).0..]);
            }
            5 => bytes.truncate(to),
            _ => {
                let word = self.one_of(WORDS).bytes();
                bytes.splice(from..from, word);
            }
        }
    }

    /// A range of at most 32 bytes, as often at the front as at the end.
    fn range(&mut self, length: usize) -> (usize, usize) {
        let from = self.0.random_range(0..=length);
        (from, (from + self.0.random_range(0..=32)).min(length))
    }
}
