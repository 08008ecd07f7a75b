//! Doing a measurement again until enough of it was undisturbed by others on the machine.

use std::time::{Duration, Instant};

use crate::Result;
use crate::histogram::median;
use crate::machine::Watch;
use crate::options::Options;

/// A round in which others had more of the machine's CPU than this share is thrown away.
pub const FOREIGN: f64 = 0.05;
/// How long a measurement waits, in all, for others to be done before its rounds.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the machine has to be quiet before a round begins.
const LOOK: Duration = Duration::from_millis(300);
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

/// Measures until enough undisturbed rounds are there, each begun when the machine is quiet. `measure` takes the
/// attempt's number, from 0, and also returns the share of the machine that others used meanwhile.
///
/// # Errors
/// Of `measure`; when the machine is never quiet.
pub fn repeat<T>(options: &Options, measure: impl FnMut(u32) -> Result<(T, f64)>) -> Result<Repeated<T>> {
    let mut patience = if options.keep_disturbed { Duration::ZERO } else { PATIENCE };
    let wait = || {
        patience = patience.saturating_sub(wait_until_quiet(patience)?);
        Ok(())
    };
    repeat_after(options, wait, measure)
}

/// The same, with another way to wait before each round.
///
/// # Errors
/// Of `wait`; as [`repeat`].
pub fn repeat_after<T>(
    options: &Options,
    mut wait: impl FnMut() -> Result<()>,
    mut measure: impl FnMut(u32) -> Result<(T, f64)>,
) -> Result<Repeated<T>> {
    let wanted = options.rounds();
    let mut repeated = Repeated { values: Vec::new(), disturbed: 0, doubtful: false };
    for attempt in 0..wanted * TRIES {
        wait()?;
        let (value, foreign) = measure(attempt)?;
        repeated.add(value, foreign, options.keep_disturbed);
        if repeated.values.len() == wanted as usize {
            return Ok(repeated);
        }
    }
    Err(format!("the machine was never quiet: {} rounds beside foreign load", repeated.disturbed).into())
}

/// Waits until others leave the machine alone, at most as long as told; returns how long it took.
fn wait_until_quiet(most: Duration) -> Result<Duration> {
    let since = Instant::now();
    while since.elapsed() < most {
        let watch = Watch::start()?;
        std::thread::sleep(LOOK);
        if watch.foreign()? < FOREIGN {
            break;
        }
    }
    Ok(since.elapsed())
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
