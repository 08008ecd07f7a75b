//! How far the service is degraded, and what is shed for it. What it is measured by is not decided here.

use crate::platform::telemetry::names;
use metrics::Counter;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

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
    /// When it is worth another try.
    pub retry_after: Duration,
}

/// The level of degradation, from 0. Cheap to clone.
#[derive(Clone)]
pub struct Degradation(Arc<Inner>);

struct Inner {
    level: AtomicU8,
    shed: Vec<(Feature, Counter)>,
}

impl Degradation {
    /// Over these features. Make it after the metrics recorder is installed: handles are kept.
    pub fn new(features: &[Feature]) -> Self {
        let counter = |feature: &Feature| {
            (*feature, metrics::counter!(names::LOAD_SHED, names::LABEL_FEATURE => feature.name))
        };
        Self(Arc::new(Inner { level: AtomicU8::new(0), shed: features.iter().map(counter).collect() }))
    }

    /// The level now.
    pub fn level(&self) -> u8 {
        self.0.level.load(Ordering::Relaxed)
    }

    /// Whether the feature is to be had now; counted if not.
    ///
    /// # Errors
    /// It is shed.
    pub fn admit(&self, feature: Feature) -> Result<(), Shed> {
        if self.level() < feature.level {
            return Ok(());
        }
        Err(self.shed(feature, Duration::from_secs(1)))
    }

    /// Turns a call away for a bound of the feature's own, whatever the level; counted likewise.
    pub fn shed(&self, feature: Feature, retry_after: Duration) -> Shed {
        if let Some((_, counter)) = self.0.shed.iter().find(|(known, _)| *known == feature) {
            counter.increment(1);
        }
        Shed { feature, retry_after }
    }
}
