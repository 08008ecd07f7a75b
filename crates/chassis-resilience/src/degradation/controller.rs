//! Reads the signals at a steady pace and moves the level by them; every change is one log line.

use super::{Degradation, Ladder, PRESSURE, State};
use std::time::{Duration, Instant};

/// Between two readings.
const TICK: Duration = Duration::from_millis(100);

/// The value of a signal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pressure {
    /// 1 or more is an overload.
    pub value: f64,
    /// How long it takes to work off the backlog, where that is known.
    pub clears_in: Option<Duration>,
}

impl Pressure {
    /// The measured value in relation to the allowed one.
    pub fn of(measured: f64, allowed: f64) -> Self {
        let value = measured / allowed;
        Self { value: if value.is_finite() { value } else { 0.0 }, clears_in: None }
    }
}

/// A signal from the service, such as the age of a queue's oldest job.
pub struct Signal {
    name: &'static str,
    raises_to: u8,
    read: Box<dyn Fn() -> Pressure + Send + Sync>,
}

impl Signal {
    /// `read` is called ten times a second. `raises_to` is the highest level that the signal may raise to: that
    /// of the last feature whose shedding relieves it.
    pub fn new(
        name: &'static str,
        raises_to: u8,
        read: impl Fn() -> Pressure + Send + Sync + 'static,
    ) -> Self {
        Self { name, raises_to, read: Box::new(read) }
    }
}

/// A signal as it was read last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub name: &'static str,
    pub raises_to: u8,
    pub pressure: Pressure,
}

impl Reading {
    pub fn new(name: &'static str, raises_to: u8, pressure: Pressure) -> Self {
        metrics::gauge!(PRESSURE.name, "signal" => name).set(pressure.value);
        Self { name, raises_to, pressure }
    }
}

impl Degradation {
    /// The controller: moves the level by latency, requests in flight and `signals`. Never ends; spawn it as an
    /// essential task.
    pub fn run(&self, signals: Vec<Signal>) -> impl Future<Output = ()> + Send + use<> {
        let degradation = self.clone();
        // Shows every signal from the start.
        degradation.tick(&signals, Instant::now());
        async move {
            loop {
                tokio::time::sleep(TICK).await;
                degradation.tick(&signals, Instant::now());
            }
        }
    }

    fn tick(&self, signals: &[Signal], now: Instant) {
        let (config, load) = (&self.0.config, &self.0.load);
        let latency = Pressure::of(load.slow_share(now), f64::from(config.slow_percent) / 100.0);
        let in_flight = Pressure::of(load.in_flight() as f64, config.in_flight as f64);
        // Read before the lock is taken: a signal may take one of its own.
        let read = |signal: &Signal| Reading::new(signal.name, signal.raises_to, (signal.read)());
        let others: Vec<Reading> = signals.iter().map(read).collect();

        let mut state = self.0.state.lock();
        let Ladder { level: from, highest, .. } = state.ladder;
        let own = [("latency", latency), ("in_flight", in_flight)];
        let own = own.map(|(name, pressure)| Reading::new(name, highest, pressure));
        state.readings = own.into_iter().chain(others).collect();
        let State { ladder, pinned, readings } = &mut *state;
        if !*pinned && ladder.step(now, readings) {
            let to = ladder.level;
            self.apply(to);
            let relevant = readings.iter().filter(|reading| reading.raises_to >= from);
            let most = relevant.max_by(|a, b| a.pressure.value.total_cmp(&b.pressure.value));
            let (signal, pressure) = most.map_or(("none", 0.0), |most| (most.name, most.pressure.value));
            if to > from {
                tracing::warn!(level = to, from, signal, pressure, "overloaded: level of degradation rises");
            } else {
                tracing::info!(level = to, from, signal, pressure, "calm: level of degradation falls");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Feature, *};
    use crate::DegradationConfig;
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    const FEATURES: [Feature; 2] = [Feature { name: "a", level: 1 }, Feature { name: "b", level: 2 }];

    /// Ticks as if the time had passed.
    fn pass(degradation: &Degradation, signals: &[Signal], now: &mut Instant, time: Duration) {
        let end = *now + time;
        while *now < end {
            *now += TICK;
            degradation.tick(signals, *now);
        }
    }

    #[test]
    fn requests_in_flight_raise_the_level_and_it_falls_when_they_end() {
        let degradation = Degradation::new(&FEATURES, DegradationConfig::default());
        let mut now = Instant::now();
        let many: Vec<_> = (0..2000).map(|_| degradation.0.load.enter()).collect();
        pass(&degradation, &[], &mut now, Duration::from_millis(500));
        assert_eq!(degradation.level(), 1);
        pass(&degradation, &[], &mut now, Duration::from_secs(9));
        assert_eq!(degradation.level(), 2);
        drop(many);
        pass(&degradation, &[], &mut now, Duration::from_secs(12));
        assert_eq!(degradation.level(), 0);
    }

    #[test]
    fn a_pinned_level_holds_against_every_signal() {
        let degradation = Degradation::new(&FEATURES, DegradationConfig::default());
        let pressure = Arc::new(AtomicU64::new(5));
        let read = Arc::clone(&pressure);
        let signals =
            [Signal::new("outside", 1, move || Pressure::of(read.load(Ordering::Relaxed) as f64, 1.0))];
        let mut now = Instant::now();
        degradation.pin(Some(0)).unwrap();
        pass(&degradation, &signals, &mut now, Duration::from_secs(5));
        assert_eq!(degradation.level(), 0);
        degradation.pin(Some(2)).unwrap();
        pressure.store(0, Ordering::Relaxed);
        pass(&degradation, &signals, &mut now, Duration::from_secs(60));
        assert_eq!(degradation.level(), 2);
        degradation.pin(None).unwrap();
        pass(&degradation, &signals, &mut now, Duration::from_secs(60));
        assert_eq!(degradation.level(), 0);
    }
}
