//! The level of degradation as a state machine: quickly up, slowly down, one step at a time. Time is passed in.

use super::controller::Reading;
use std::time::{Duration, Instant};

/// From this pressure on the service is overloaded, and below the other it is calm; in between the level stays.
const OVERLOADED: f64 = 1.0;
const CALM: f64 = 0.7;
/// How long an overload has to last before the first step up, and before each further one: the time until the
/// effect of the step before can be seen.
const FIRST_STEP: Duration = Duration::from_millis(300);
const NEXT_STEP: Duration = Duration::from_secs(1);
/// A step down that came too soon doubles the wait for the next one, up to this many times `hold`.
const PATIENCE_MAX: u32 = 4;

#[derive(Clone, Debug)]
pub(super) struct Ladder {
    pub highest: u8,
    pub level: u8,
    hold: Duration,
    /// How many holds a step down waits.
    patience: u32,
    /// Whether the service is overloaded (or else calm), and since when without a break.
    trend: Option<(bool, Instant)>,
    /// When the last step was taken, if it was a step down.
    fell: Option<Instant>,
}

impl Ladder {
    pub fn new(highest: u8, hold: Duration) -> Self {
        Self { highest, level: 0, hold, patience: 1, trend: None, fell: None }
    }

    /// Sets the level by hand, and forgets what led to the one before.
    pub fn set(&mut self, level: u8) {
        *self = Self { level, ..Self::new(self.highest, self.hold) };
    }

    /// Takes a step if it is time to, and returns whether it did. A signal counts only up to the level that it
    /// may raise to: it neither raises nor holds a level that would not relieve it.
    pub fn step(&mut self, now: Instant, readings: &[Reading]) -> bool {
        let from = self.level;
        let raises = |reading: &Reading| reading.raises_to > from && reading.pressure.value >= OVERLOADED;
        let holds = |reading: &Reading| reading.raises_to >= from && reading.pressure.value >= CALM;
        let trend = match from {
            _ if from < self.highest && readings.iter().any(raises) => Some(true),
            1.. if !readings.iter().any(holds) => Some(false),
            _ => None,
        };
        let lasting = self.trend.filter(|(rising, _)| Some(*rising) == trend);
        self.trend = lasting.or(trend.map(|rising| (rising, now)));
        let due = self.trend.is_some_and(|(rising, since)| {
            let wait = match (rising, from) {
                (true, 0) => FIRST_STEP,
                (true, _) => NEXT_STEP,
                (false, _) => self.wait(),
            };
            now.duration_since(since) >= wait
        });
        if due {
            if trend == Some(true) {
                self.rise(now)
            } else {
                self.fall(now)
            }
            self.trend = None;
        }
        due
    }

    /// How long it takes until the level is below `level`, if the service is calm from now on.
    pub fn until_below(&self, level: u8, now: Instant) -> Duration {
        let further = u32::from(self.level.saturating_sub(level));
        let calm = self.trend.filter(|(rising, _)| !rising);
        let passed = calm.map_or(Duration::ZERO, |(_, since)| now.saturating_duration_since(since));
        self.wait().saturating_sub(passed) + self.wait() * further
    }

    fn rise(&mut self, now: Instant) {
        // Several steps up in a row are one rise: the first of them shows whether the fall came too soon.
        if let Some(fell) = self.fell.take() {
            let too_soon = now.duration_since(fell) < self.wait();
            self.patience = if too_soon { (self.patience * 2).min(PATIENCE_MAX) } else { 1 };
        }
        self.level += 1;
    }

    fn fall(&mut self, now: Instant) {
        // The fall before this one has held.
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
