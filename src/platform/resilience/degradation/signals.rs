//! What the level is measured by: numbers of which 1 is too much.

use crate::platform::telemetry::names;
use metrics::Gauge;
use std::time::Duration;

/// A signal's value now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pressure {
    /// From 1 on there is too much.
    pub value: f64,
    /// In how long what has piled up may be worked off, where that is known.
    pub clears_in: Option<Duration>,
}

impl Pressure {
    /// How much of what is allowed there is.
    pub fn of(found: f64, allowed: f64) -> Self {
        let value = found / allowed;
        Self { value: if value.is_finite() { value } else { 0.0 }, clears_in: None }
    }
}

/// Something to measure the service by, from outside of this room.
pub struct Signal {
    pub(super) name: &'static str,
    pub(super) raises_to: u8,
    pub(super) read: Box<dyn Fn() -> Pressure + Send + Sync>,
}

impl Signal {
    /// Read ten times a second. `raises_to` is the highest level that it may lead to: that of the last feature
    /// whose shedding would relieve it.
    pub fn new(
        name: &'static str,
        raises_to: u8,
        read: impl Fn() -> Pressure + Send + Sync + 'static,
    ) -> Self {
        Self { name, raises_to, read: Box::new(read) }
    }
}

/// What the ladder sees of a signal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reading {
    pub pressure: f64,
    pub raises_to: u8,
}

/// A signal as it was read last.
#[derive(Clone)]
pub(super) struct Shown {
    pub name: &'static str,
    pub reading: Reading,
    pub clears_in: Option<Duration>,
    gauge: Gauge,
}

impl Shown {
    pub fn new(name: &'static str, raises_to: u8) -> Self {
        let gauge = metrics::gauge!(names::DEGRADATION_PRESSURE, names::LABEL_SIGNAL => name);
        gauge.set(0.0);
        Self { name, reading: Reading { pressure: 0.0, raises_to }, clears_in: None, gauge }
    }

    pub fn set(&mut self, pressure: Pressure) {
        self.gauge.set(pressure.value);
        self.reading.pressure = pressure.value;
        self.clears_in = pressure.clears_in.filter(|_| pressure.value >= 1.0);
    }
}
