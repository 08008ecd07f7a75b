//! Degradation as an operator is shown it.

use super::Degradation;
use serde::Serialize;

/// Everything that decides about the level, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    pub level: u8,
    /// The level at which everything is shed that can be.
    pub highest: u8,
    /// An operator has set the level; the signals are shown all the same.
    pub pinned: bool,
    pub signals: Vec<SignalView>,
    pub features: Vec<FeatureView>,
}

/// A signal as it was read last.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignalView {
    pub name: &'static str,
    /// From 1 on the level rises, below 0.7 it falls; to three decimal places.
    pub pressure: f64,
    /// The level that it raises to at most.
    pub raises_to: u8,
}

/// A feature, and whether it is to be had.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeatureView {
    pub name: &'static str,
    /// From which level on it is shed.
    pub level: u8,
    pub shed: bool,
}

impl Degradation {
    /// The state now.
    pub fn view(&self) -> View {
        let state = self.0.state.lock();
        let level = state.ladder.level();
        let signal = |shown: &super::Shown| SignalView {
            name: shown.name,
            pressure: (shown.reading.pressure * 1000.0).round() / 1000.0,
            raises_to: shown.reading.raises_to,
        };
        let features = self.0.shed.iter().map(|(feature, _)| FeatureView {
            name: feature.name,
            level: feature.level,
            shed: level >= feature.level,
        });
        View {
            level,
            highest: state.ladder.highest(),
            pinned: state.pinned,
            signals: state.signals.iter().map(signal).collect(),
            features: features.collect(),
        }
    }
}
