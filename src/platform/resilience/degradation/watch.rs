//! Looks at the signals at a steady pace and moves the level by them, which is told in one line a change.

use super::{
    Degradation,
    ladder::Step,
    load::SlowShare,
    signals::{Pressure, Reading, Shown, Signal},
};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// Between two looks.
const TICK: Duration = Duration::from_millis(100);
/// Watched calls are judged over two seconds.
const LOOKS: usize = 20;

/// The signals of this room, which every service has.
const LATENCY: &str = "latency";
const IN_FLIGHT: &str = "in_flight";

impl Degradation {
    /// Moves the level by these signals, latency and the requests in flight. Never ends.
    pub fn run(&self, others: Vec<Signal>) -> impl Future<Output = ()> + Send + use<> {
        let mut watch = Watch { degradation: self.clone(), share: SlowShare::over(LOOKS), others };
        watch.announce();
        async move {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                watch.look(Instant::now());
            }
        }
    }
}

struct Watch {
    degradation: Degradation,
    share: SlowShare,
    others: Vec<Signal>,
}

impl Watch {
    /// Shows every signal, with nothing read yet.
    fn announce(&self) {
        let mut state = self.degradation.0.state.lock();
        let highest = state.ladder.highest();
        let own = [LATENCY, IN_FLIGHT].into_iter().map(|name| (name, highest));
        let others = self.others.iter().map(|signal| (signal.name, signal.raises_to));
        state.signals = own.chain(others).map(|(name, raises_to)| Shown::new(name, raises_to)).collect();
    }

    fn look(&mut self, now: Instant) {
        let inner = &self.degradation.0;
        // Read before the lock is taken: each may take one of its own.
        let slow = Pressure::of(self.share.look(&inner.load), f64::from(inner.config.slow_percent) / 100.0);
        let in_flight = Pressure::of(inner.load.in_flight() as f64, inner.config.in_flight as f64);
        let others = self.others.iter().map(|signal| (signal.read)());
        let read: Vec<Pressure> = [slow, in_flight].into_iter().chain(others).collect();

        let mut state = inner.state.lock();
        state.signals.iter_mut().zip(read).for_each(|(shown, pressure)| shown.set(pressure));
        if state.pinned {
            return;
        }
        let readings: Vec<Reading> = state.signals.iter().map(|shown| shown.reading).collect();
        let Some(step) = state.ladder.step(now, &readings) else { return };
        let strongest = strongest(&state.signals, step.from);
        self.degradation.in_force(step.to);
        drop(state);
        self.share.forget();
        tell(step, strongest);
    }
}

/// The signal that has most to say about leaving this level, and its pressure.
fn strongest(signals: &[Shown], from: u8) -> (&'static str, f64) {
    let has_a_say = signals.iter().filter(|shown| shown.reading.raises_to >= from);
    let most = has_a_say.max_by(|a, b| a.reading.pressure.total_cmp(&b.reading.pressure));
    most.map_or(("none", 0.0), |shown| (shown.name, shown.reading.pressure))
}

fn tell(Step { from, to }: Step, (signal, pressure): (&'static str, f64)) {
    if to > from {
        tracing::warn!(level = to, from, signal, pressure, "overloaded: the level of degradation rises");
    } else {
        tracing::info!(level = to, from, signal, pressure, "calm: the level of degradation falls");
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Feature, *};
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    const FEATURES: [Feature; 2] = [Feature { name: "a", level: 1 }, Feature { name: "b", level: 2 }];

    /// Looks on as if the time had passed.
    fn pass(watch: &mut Watch, now: &mut Instant, time: Duration) {
        let end = *now + time;
        while *now < end {
            *now += TICK;
            watch.look(*now);
        }
    }

    #[test]
    fn requests_in_flight_raise_the_level_and_it_comes_back_when_they_end() {
        let degradation = Degradation::new(&FEATURES);
        let mut watch =
            Watch { degradation: degradation.clone(), share: SlowShare::over(LOOKS), others: Vec::new() };
        watch.announce();
        let mut now = Instant::now();
        let many: Vec<_> = (0..2000).map(|_| degradation.enter()).collect();
        pass(&mut watch, &mut now, Duration::from_millis(500));
        assert_eq!(degradation.level(), 1);
        pass(&mut watch, &mut now, Duration::from_secs(9));
        assert_eq!(degradation.level(), 2);
        drop(many);
        pass(&mut watch, &mut now, Duration::from_secs(12));
        assert_eq!(degradation.level(), 0);
    }

    #[test]
    fn a_pin_holds_against_every_signal() {
        let degradation = Degradation::new(&FEATURES);
        let pressure = Arc::new(AtomicU64::new(5));
        let read = Arc::clone(&pressure);
        let signal =
            Signal::new("outside", 1, move || Pressure::of(read.load(Ordering::Relaxed) as f64, 1.0));
        let mut watch =
            Watch { degradation: degradation.clone(), share: SlowShare::over(LOOKS), others: vec![signal] };
        watch.announce();
        let mut now = Instant::now();
        degradation.pin(Some(0)).unwrap();
        pass(&mut watch, &mut now, Duration::from_secs(5));
        assert_eq!(degradation.level(), 0);
        degradation.pin(Some(2)).unwrap();
        pressure.store(0, Ordering::Relaxed);
        pass(&mut watch, &mut now, Duration::from_secs(60));
        assert_eq!(degradation.level(), 2);
        degradation.pin(None).unwrap();
        pass(&mut watch, &mut now, Duration::from_secs(60));
        assert_eq!(degradation.level(), 0);
    }
}
