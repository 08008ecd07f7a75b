//! Degradation: under overload the service sheds features, the least important first, and takes them back by
//! itself when it is calm.
//!
//! A [`Feature`] has the level from which on it is shed. The level is moved by signals (`controller`), with
//! hysteresis (`ladder`), or pinned by an operator (`admin`). Latency and requests in flight come from layers
//! (`layers`, `load`), other signals from the service.

mod admin;
mod config;
mod controller;
mod ladder;
mod layers;
mod load;

pub use config::DegradationConfig;
pub use controller::{Pressure, Signal};

use chassis_telemetry::SpanExt;
use chassis_telemetry::catalogue::{Metric, Values, counter, gauge};
use controller::Reading;
use ladder::Ladder;
use load::Load;
use parking_lot::Mutex;
use rand::Rng;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::Span;

pub(crate) const SHED: Metric =
    counter("load_shed_total", "Requests shed to protect the service, by feature.")
        .labels(&[("feature", Values::Open("a feature that can be shed"))]);
pub(crate) const LEVEL: Metric =
    gauge("degradation_level", "Level of degradation: features of this level and below are shed.");
pub(crate) const PINNED: Metric =
    gauge("degradation_pinned", "Whether an operator has pinned the level of degradation: 1 or 0.");
pub(crate) const PRESSURE: Metric =
    gauge("degradation_pressure", "Pressure of a degradation signal: 1 or more is an overload.")
        .labels(&[("signal", Values::Open("latency, in_flight, and those of the service"))]);

/// While an operator has pinned the level, nobody knows for how long.
const RETRY_PINNED: Duration = Duration::from_secs(30);
/// Bounds of `retry_after` before the jitter, which adds up to a half: 1 s to 1 min in all.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(40);

/// Something that the service can do without for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Feature {
    /// The label of its metric.
    pub name: &'static str,
    /// The level from which on it is shed; 1 is the first to go.
    pub level: u8,
}

/// A request was shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is shed while the service is overloaded", feature.name)]
pub struct Shed {
    pub feature: Feature,
    /// When it is worth trying again: 1 s to 1 min, with jitter so that callers do not return all at once.
    pub retry_after: Duration,
}

/// There is no such level to pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("level must be a number from 0 to {highest}, or \"auto\"")]
pub struct NoSuchLevel {
    pub highest: u8,
}

/// The level of degradation and what it sheds. Cheap to clone.
#[derive(Clone)]
pub struct Degradation(Arc<Inner>);

struct Inner {
    config: DegradationConfig,
    features: Vec<Feature>,
    load: Arc<Load>,
    state: Mutex<State>,
}

struct State {
    ladder: Ladder,
    pinned: bool,
    readings: Vec<Reading>,
}

impl Degradation {
    /// Nothing is shed at first. Spawn [`Self::run`], or the level changes only by hand.
    pub fn new(features: &[Feature], config: DegradationConfig) -> Self {
        for feature in features {
            metrics::counter!(SHED.name, "feature" => feature.name).increment(0);
        }
        let highest = features.iter().map(|feature| feature.level).max().unwrap_or_default();
        let ladder = Ladder::new(highest, config.hold);
        let degradation = Self(Arc::new(Inner {
            load: Arc::new(Load::new(config.latency)),
            config,
            features: features.to_vec(),
            state: State { ladder, pinned: false, readings: Vec::new() }.into(),
        }));
        metrics::gauge!(PINNED.name).set(0);
        degradation.apply(0);
        degradation
    }

    pub fn level(&self) -> u8 {
        self.0.state.lock().ladder.level
    }

    /// Lets a request for `feature` pass, for handlers that decide by the request's body. A route is shed as a
    /// whole by [`Self::shed_layer`].
    ///
    /// # Errors
    /// The feature is shed, which has been counted and is an event of the current span.
    pub fn admit(&self, feature: Feature) -> Result<(), Shed> {
        let state = self.0.state.lock();
        if state.ladder.level < feature.level {
            return Ok(());
        }
        let retry_after = state.retry_after(feature, Instant::now());
        drop(state);
        Err(self.shed(feature, retry_after))
    }

    /// Sheds a request for a limit of the feature's own, whatever the level is; counted in the same way.
    pub fn shed(&self, feature: Feature, retry_after: Duration) -> Shed {
        metrics::counter!(SHED.name, "feature" => feature.name).increment(1);
        let attributes = [("feature", feature.name.to_owned()), ("level", self.level().to_string())];
        Span::current().add_event("shed", &attributes);
        Shed { feature, retry_after }
    }

    /// Pins the level, or (`None`) returns it to the signals. It then falls from where it stands, step by step.
    ///
    /// # Errors
    /// No feature has a level this high.
    pub fn pin(&self, level: Option<u8>) -> Result<(), NoSuchLevel> {
        let mut state = self.0.state.lock();
        let highest = state.ladder.highest;
        if level.is_some_and(|level| level > highest) {
            return Err(NoSuchLevel { highest });
        }
        state.pinned = level.is_some();
        let level = level.unwrap_or(state.ladder.level);
        state.ladder.set(level);
        metrics::gauge!(PINNED.name).set(u8::from(state.pinned));
        self.apply(level);
        Ok(())
    }

    /// Reports a new level, and forgets requests that began before: they say nothing about it.
    fn apply(&self, level: u8) {
        metrics::gauge!(LEVEL.name).set(level);
        self.0.load.reset();
    }
}

impl State {
    /// The time until the level is below the feature's if it is calm from now on, or until the backlog is
    /// worked off if that takes longer; with jitter.
    fn retry_after(&self, feature: Feature, now: Instant) -> Duration {
        if self.pinned {
            return RETRY_PINNED;
        }
        let falls = self.ladder.until_below(feature.level, now);
        let overloaded = self.readings.iter().filter(|reading| reading.pressure.value >= 1.0);
        let clears = overloaded.filter_map(|reading| reading.pressure.clears_in).max().unwrap_or_default();
        falls.max(clears).clamp(RETRY_MIN, RETRY_MAX).mul_f64(rand::rng().random_range(1.0..1.5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FIRST: Feature = Feature { name: "first", level: 1 };
    const LAST: Feature = Feature { name: "last", level: 3 };

    fn degradation(features: &[Feature]) -> Degradation {
        Degradation::new(features, DegradationConfig::default())
    }

    #[test]
    fn a_feature_is_shed_from_its_level_on() {
        let degradation = degradation(&[LAST, FIRST]);
        assert_eq!(degradation.admit(FIRST), Ok(()));
        degradation.pin(Some(2)).unwrap();
        assert_eq!(degradation.admit(FIRST).unwrap_err().feature, FIRST);
        assert_eq!(degradation.admit(LAST), Ok(()));
        degradation.pin(Some(3)).unwrap();
        assert_eq!(degradation.admit(LAST).unwrap_err().retry_after, RETRY_PINNED);
        degradation.pin(Some(0)).unwrap();
        assert_eq!(degradation.admit(FIRST), Ok(()));
    }

    #[test]
    fn only_levels_that_shed_something_can_be_pinned() {
        let some = degradation(&[FIRST, LAST]);
        assert_eq!(some.pin(Some(4)), Err(NoSuchLevel { highest: 3 }));
        assert_eq!(some.level(), 0);
        assert_eq!(degradation(&[]).pin(Some(1)), Err(NoSuchLevel { highest: 0 }));
    }

    #[test]
    fn a_level_that_is_no_longer_pinned_falls_by_itself() {
        let degradation = degradation(&[FIRST, LAST]);
        degradation.pin(Some(3)).unwrap();
        degradation.pin(None).unwrap();
        assert_eq!(degradation.level(), 3);
    }

    proptest! {
        #[test]
        fn retry_after_is_1_to_60_s_and_covers_hold_and_backlog(
            level in 1..=3_u8, hold in 1..100_000_u64, clears in 0..100_000_u64,
        ) {
            let (hold, clears) = (Duration::from_millis(hold), Duration::from_millis(clears));
            let mut ladder = Ladder::new(3, hold);
            ladder.set(level);
            let reading = Reading::new("queue_age", 3, Pressure { value: 1.0, clears_in: Some(clears) });
            let state = State { ladder, pinned: false, readings: vec![reading] };
            let after = state.retry_after(FIRST, Instant::now());
            let least = (hold * u32::from(level)).max(clears).clamp(RETRY_MIN, RETRY_MAX);
            prop_assert!(after >= least && after <= least.mul_f64(1.5), "{after:?}, least {least:?}");
        }
    }
}
