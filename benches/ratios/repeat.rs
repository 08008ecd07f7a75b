//! Doing a measurement again until enough of it was undisturbed by others on the machine.

use crate::Result;
use crate::histogram::median;
use crate::options::Options;

/// A round in which others had more of the machine's CPU than this share is thrown away.
pub const FOREIGN: f64 = 0.05;
/// How many rounds are tried for each one that is wanted.
const TRIES: u32 = 3;

/// What the rounds of one measurement brought.
pub struct Repeated<T> {
    pub values: Vec<T>,
    /// Rounds beside foreign load.
    pub disturbed: u32,
    /// Whether such rounds are among the values, because the command line wants to see them.
    pub doubtful: bool,
}

/// Measures until enough undisturbed rounds are there. `measure` takes the attempt's number, from 0, and also
/// returns the share of the machine that others used meanwhile.
///
/// # Errors
/// Of `measure`; when the machine is never quiet.
pub fn repeat<T>(options: &Options, mut measure: impl FnMut(u32) -> Result<(T, f64)>) -> Result<Repeated<T>> {
    let wanted = options.rounds();
    let mut repeated = Repeated { values: Vec::new(), disturbed: 0, doubtful: false };
    for attempt in 0..wanted * TRIES {
        let (value, foreign) = measure(attempt)?;
        repeated.add(value, foreign, options.keep_disturbed);
        if repeated.values.len() == wanted as usize {
            return Ok(repeated);
        }
    }
    Err(format!("the machine was never quiet: {} rounds beside foreign load", repeated.disturbed).into())
}

impl<T> Repeated<T> {
    /// Keeps a value, unless it was disturbed and those are not kept.
    pub fn add(&mut self, value: T, foreign: f64, keep_disturbed: bool) {
        let disturbed = foreign > FOREIGN;
        self.disturbed += u32::from(disturbed);
        if !disturbed || keep_disturbed {
            self.doubtful |= disturbed;
            self.values.push(value);
        }
    }

    /// The median of a figure of the values.
    pub fn middle(&self, figure: impl Fn(&T) -> f64) -> Option<f64> {
        median(self.values.iter().map(figure))
    }
}
