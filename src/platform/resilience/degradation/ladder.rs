//! The level as a pure state machine: up quickly, down slowly, one step at a time. Time is passed in.

use super::signals::Reading;
use std::time::{Duration, Instant};

/// From this pressure on there is too much, and below the other it is calm; between them the level stays.
const TOO_MUCH: f64 = 1.0;
const CALM: f64 = 0.7;
/// How long there has to be too much before the first step up, and before each further one: so long it
/// takes until what the step before has shed is felt.
const FIRST_STEP: Duration = Duration::from_millis(300);
const NEXT_STEP: Duration = Duration::from_secs(1);
/// A step down that was too soon doubles the wait for the next, up to this many times the usual one.
const LONGEST_WAIT: u32 = 4;

/// A step that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub from: u8,
    pub to: u8,
}

/// The level, and what it waits for.
#[derive(Clone, Debug)]
pub(super) struct Ladder {
    highest: u8,
    level: u8,
    hold: Duration,
    /// How many holds a step down waits.
    patience: u32,
    /// Since when there has been too much, or calm, without a break.
    too_much_since: Option<Instant>,
    calm_since: Option<Instant>,
    /// When the step down was taken, if that was the last step.
    fell: Option<Instant>,
}

impl Ladder {
    pub fn new(highest: u8, hold: Duration) -> Self {
        Self { highest, level: 0, hold, patience: 1, too_much_since: None, calm_since: None, fell: None }
    }

    pub fn level(&self) -> u8 {
        self.level
    }

    pub fn highest(&self) -> u8 {
        self.highest
    }

    /// Puts the level where an operator wants it, and forgets what led to the one before.
    pub fn set(&mut self, level: u8) {
        *self = Self { level: level.min(self.highest), ..Self::new(self.highest, self.hold) };
    }

    /// Takes in what is measured at `now`, and steps if it is time to. A signal has a say up to the level that
    /// it may raise to: it neither raises nor holds what would not help it.
    pub fn step(&mut self, now: Instant, readings: &[Reading]) -> Option<Step> {
        let from = self.level;
        let raises = |reading: &Reading| reading.raises_to > from && reading.pressure >= TOO_MUCH;
        let keeps = |reading: &Reading| reading.raises_to >= from && reading.pressure >= CALM;
        let too_much = from < self.highest && readings.iter().any(raises);
        let calm = from > 0 && !readings.iter().any(keeps);
        self.too_much_since = too_much.then(|| self.too_much_since.unwrap_or(now));
        self.calm_since = calm.then(|| self.calm_since.unwrap_or(now));

        let lasted =
            |since: Option<Instant>, time| since.is_some_and(|since| now.duration_since(since) >= time);
        if lasted(self.too_much_since, if from == 0 { FIRST_STEP } else { NEXT_STEP }) {
            self.rise(now);
        } else if lasted(self.calm_since, self.wait()) {
            self.fall(now);
        } else {
            return None;
        }
        (self.too_much_since, self.calm_since) = (None, None);
        Some(Step { from, to: self.level })
    }

    /// How long until the level is down at `level`, if it is calm from now on.
    pub fn until_below(&self, level: u8, now: Instant) -> Duration {
        let further = u32::from(self.level.saturating_sub(level));
        let passed = self.calm_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.wait().saturating_sub(passed) + self.wait() * further
    }

    fn rise(&mut self, now: Instant) {
        // Several steps up in a row are one rise: the first of them tells whether the fall was too soon.
        self.patience = match self.fell.take() {
            Some(fell) if now.duration_since(fell) < self.wait() => (self.patience * 2).min(LONGEST_WAIT),
            Some(_) => 1,
            None => self.patience,
        };
        self.level += 1;
    }

    fn fall(&mut self, now: Instant) {
        // The fall before has held.
        if self.fell.is_some() {
            self.patience = (self.patience / 2).max(1);
        }
        self.fell = Some(now);
        self.level -= 1;
    }

    fn wait(&self) -> Duration {
        self.hold * self.patience
    }
}

#[cfg(test)]
mod tests;
