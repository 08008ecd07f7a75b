//! How far the service is degraded, and what is shed for it: the handle that the surfaces ask.
//!
//! When the level changes is `ladder`'s matter, what it is measured by `load`'s and `signals`', and when a
//! caller may come again `retry_after`'s. Which features there are is the domain's.

pub mod config;
mod ladder;
mod load;
mod retry_after;
mod signals;
mod view;
mod watch;

pub use config::DegradationConfig;
pub use load::{InFlight, Watched};
pub use signals::{Pressure, Signal};
pub use view::View;

use crate::platform::telemetry::{SpanExt, names};
use ladder::Ladder;
use load::Load;
use metrics::{Counter, Gauge};
use parking_lot::Mutex;
use signals::Shown;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};
use tracing::Span;

/// Something that the service can do without for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Feature {
    /// The label of its metric.
    pub name: &'static str,
    /// From which level on it is shed; the first to go has 1.
    pub level: u8,
}

/// A call that is turned away so that others are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shed {
    pub feature: Feature,
    /// When it is worth another try: 1 s to 1 min, no two callers the same.
    pub retry_after: Duration,
}

/// No feature is shed at this level: there are fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a level from 0 to {highest}, or \"auto\"")]
pub struct NoSuchLevel {
    pub highest: u8,
}

/// The level of degradation, from 0. Cheap to clone.
#[derive(Clone)]
pub struct Degradation(Arc<Inner>);

struct Inner {
    config: DegradationConfig,
    shed: Vec<(Feature, Counter)>,
    /// A copy of the ladder's, for the hot path.
    level: AtomicU8,
    load: Arc<Load>,
    state: Mutex<State>,
    level_gauge: Gauge,
    pinned_gauge: Gauge,
}

struct State {
    ladder: Ladder,
    /// An operator has set the level.
    pinned: bool,
    signals: Vec<Shown>,
}

impl Degradation {
    /// Over these features, with the default thresholds. Make it after the metrics recorder is installed:
    /// handles are kept.
    pub fn new(features: &[Feature]) -> Self {
        Self::configured(features, DegradationConfig::default())
    }

    /// The same with these thresholds.
    pub fn configured(features: &[Feature], config: DegradationConfig) -> Self {
        let counter = |feature: &Feature| {
            (*feature, metrics::counter!(names::LOAD_SHED, names::LABEL_FEATURE => feature.name))
        };
        let mut shed: Vec<_> = features.iter().map(counter).collect();
        shed.sort_by_key(|(feature, _)| feature.level);
        let highest = shed.last().map_or(0, |(feature, _)| feature.level);
        let (level_gauge, pinned_gauge) =
            (metrics::gauge!(names::DEGRADATION_LEVEL), metrics::gauge!(names::DEGRADATION_PINNED));
        level_gauge.set(0.0);
        pinned_gauge.set(0.0);
        let ladder = Ladder::new(highest, config.hold);
        let state = Mutex::new(State { ladder, pinned: false, signals: Vec::new() });
        let load = Arc::new(Load::new(config.latency));
        let level = AtomicU8::new(0);
        Self(Arc::new(Inner { config, shed, level, load, state, level_gauge, pinned_gauge }))
    }

    /// The level now.
    pub fn level(&self) -> u8 {
        self.0.level.load(Ordering::Relaxed)
    }

    /// Whether the feature is to be had now; if not, that is counted, and an event of the current span.
    ///
    /// # Errors
    /// It is shed.
    pub fn admit(&self, feature: Feature) -> Result<(), Shed> {
        if self.level() < feature.level {
            return Ok(());
        }
        let retry_after = self.0.state.lock().retry_after(feature, Instant::now());
        Err(self.shed(feature, retry_after))
    }

    /// Turns a call away for a bound of the feature's own, whatever the level is: counted and told likewise.
    pub fn shed(&self, feature: Feature, retry_after: Duration) -> Shed {
        if let Some((_, counter)) = self.0.shed.iter().find(|(known, _)| *known == feature) {
            counter.increment(1);
        }
        let told = [("feature", feature.name.to_owned()), ("level", self.level().to_string())];
        Span::current().add_event("shed", &told);
        Shed { feature, retry_after }
    }

    /// A call is in hand until the guard is dropped, whatever becomes of it.
    pub fn enter(&self) -> InFlight {
        InFlight::new(&self.0.load)
    }

    /// A call's own work begins, which waits for nobody outside: how long it takes until the guard is dropped
    /// is held against the objective.
    pub fn watch(&self) -> Watched {
        Watched::new(&self.0.load)
    }

    /// Sets the level until further notice, or leaves it to the signals again: from where it stands, so that
    /// what was shed by hand comes back step by step as well.
    ///
    /// # Errors
    /// There is no such level.
    pub fn pin(&self, level: Option<u8>) -> Result<(), NoSuchLevel> {
        let mut state = self.0.state.lock();
        let highest = state.ladder.highest();
        if level.is_some_and(|level| level > highest) {
            return Err(NoSuchLevel { highest });
        }
        state.pinned = level.is_some();
        let level = level.unwrap_or(state.ladder.level());
        state.ladder.set(level);
        self.0.pinned_gauge.set(f64::from(u8::from(state.pinned)));
        self.in_force(level);
        Ok(())
    }

    /// Makes the ladder's level known.
    fn in_force(&self, level: u8) {
        self.0.level.store(level, Ordering::Relaxed);
        self.0.level_gauge.set(f64::from(level));
        // What began before says nothing of the level after.
        self.0.load.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Feature = Feature { name: "first", level: 1 };
    const LAST: Feature = Feature { name: "last", level: 3 };

    #[test]
    fn a_feature_is_shed_from_its_level_on_and_counted() {
        let degradation = Degradation::new(&[LAST, FIRST]);
        assert_eq!(degradation.admit(FIRST), Ok(()));
        degradation.pin(Some(2)).unwrap();
        assert_eq!(degradation.admit(FIRST).unwrap_err().feature, FIRST);
        assert_eq!(degradation.admit(LAST), Ok(()));
        degradation.pin(Some(3)).unwrap();
        assert!(degradation.admit(LAST).is_err());
        degradation.pin(Some(0)).unwrap();
        assert_eq!(degradation.admit(FIRST), Ok(()));
    }

    #[test]
    fn only_levels_that_shed_something_can_be_pinned() {
        let degradation = Degradation::new(&[FIRST, LAST]);
        assert_eq!(degradation.pin(Some(4)), Err(NoSuchLevel { highest: 3 }));
        assert_eq!(degradation.level(), 0);
        assert_eq!(Degradation::new(&[]).pin(Some(1)), Err(NoSuchLevel { highest: 0 }));
    }

    #[test]
    fn a_pin_that_is_taken_away_leaves_the_level_to_fall_by_itself() {
        let degradation = Degradation::new(&[FIRST, LAST]);
        degradation.pin(Some(3)).unwrap();
        degradation.pin(None).unwrap();
        assert_eq!(degradation.level(), 3);
    }
}
