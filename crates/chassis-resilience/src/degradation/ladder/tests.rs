//! What the level promises, over any course of pressure.

use super::*;
use crate::Pressure;
use proptest::prelude::*;

const HOLD: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(100);
const HIGHEST: u8 = 3;

/// A change of level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    from: u8,
    to: u8,
}

/// A ladder that is stepped every tick.
struct Course {
    ladder: Ladder,
    now: Instant,
}

impl Course {
    fn new() -> Self {
        Self { ladder: Ladder::new(HIGHEST, HOLD), now: Instant::now() }
    }

    /// Keeps up this pressure, and returns each step with the time it took to come.
    fn keep(&mut self, readings: &[Reading], time: Duration) -> Vec<(Duration, Step)> {
        let started = self.now;
        let mut steps = Vec::new();
        while self.now - started < time {
            self.now += TICK;
            let from = self.ladder.level;
            if self.ladder.step(self.now, readings) {
                steps.push((self.now - started, Step { from, to: self.ladder.level }));
            }
        }
        steps
    }
}

fn all(pressure: f64) -> [Reading; 1] {
    [Reading::new("all", HIGHEST, Pressure::of(pressure, 1.0))]
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_first_step_comes_within_half_a_second_and_a_blip_is_none() {
    let mut course = Course::new();
    assert_eq!(course.keep(&all(5.0), TICK * 2), []);
    assert_eq!(course.keep(&all(0.9), TICK), []);
    let steps = course.keep(&all(1.0), Duration::from_millis(500));
    assert!(matches!(steps[..], [(_, Step { from: 0, to: 1 })]), "{steps:?}");
}

#[test]
fn the_level_climbs_step_by_step_while_the_overload_lasts() {
    let steps = Course::new().keep(&all(2.0), seconds(10));
    let levels: Vec<u8> = steps.iter().map(|(_, step)| step.to).collect();
    assert_eq!(levels, [1, 2, 3]);
    assert!(steps.windows(2).all(|pair| pair[1].0 - pair[0].0 >= NEXT_STEP));
}

#[test]
fn between_calm_and_overloaded_the_level_stays() {
    let mut course = Course::new();
    course.keep(&all(2.0), Duration::from_millis(500));
    assert_eq!(course.ladder.level, 1);
    assert_eq!(course.keep(&all(0.8), seconds(600)), []);
}

#[test]
fn a_return_that_was_too_soon_makes_the_next_one_wait_longer() {
    let mut course = Course::new();
    let mut waited = Vec::new();
    for _ in 0..5 {
        course.keep(&all(2.0), Duration::from_millis(500));
        assert_eq!(course.ladder.level, 1);
        let fell = loop {
            let steps = course.keep(&all(0.1), TICK);
            if !steps.is_empty() {
                break course.now;
            }
        };
        waited.push(fell);
    }
    let pauses: Vec<u64> = waited.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(pauses, [10, 20, 20, 20]);
    // Once it held, all is as before.
    course.keep(&all(0.0), seconds(60));
    course.keep(&all(2.0), Duration::from_millis(500));
    let steps = course.keep(&all(0.0), HOLD + TICK * 2);
    assert!(matches!(steps[..], [(_, Step { to: 0, .. })]), "{steps:?}");
}

#[test]
fn a_signal_raises_and_holds_no_further_than_it_may() {
    let mut course = Course::new();
    let capped = Reading::new("capped", 2, Pressure::of(9.0, 1.0));
    course.keep(&[capped], seconds(60));
    assert_eq!(course.ladder.level, 2);
    course.keep(&[capped, all(9.0)[0]], seconds(2));
    assert_eq!(course.ladder.level, 3);
    course.keep(&[capped], seconds(60));
    assert_eq!(course.ladder.level, 2);
}

#[test]
fn the_time_until_a_feature_is_back_shrinks_with_the_calm() {
    let mut course = Course::new();
    course.keep(&all(2.0), seconds(2));
    assert_eq!(course.ladder.level, 2);
    assert_eq!(course.ladder.until_below(2, course.now), HOLD);
    assert_eq!(course.ladder.until_below(1, course.now), HOLD * 2);
    course.keep(&all(0.0), seconds(3));
    let left = course.ladder.until_below(1, course.now);
    assert!(left < seconds(8) && left > seconds(6), "{left:?}");
}

proptest! {
    /// Any course: a pressure of either kind for some ticks, again and again.
    #[test]
    fn the_level_never_jumps_never_flaps_and_always_comes_back(
        course in proptest::collection::vec((0.0..2.0_f64, 0.0..2.0_f64, 1..80_u32), 0..60),
    ) {
        let mut ladder = Course::new();
        let mut steps = Vec::new();
        for (one, other, ticks) in course {
            let readings = [all(one)[0], Reading::new("other", 2, Pressure::of(other, 1.0))];
            let before = ladder.now;
            let taken = ladder.keep(&readings, TICK * ticks);
            steps.extend(taken.into_iter().map(|(after, step)| (before + after, step)));
        }
        let mut level = 0;
        for (_, step) in &steps {
            prop_assert_eq!(step.from, level);
            prop_assert_eq!(step.from.abs_diff(step.to), 1);
            prop_assert!(step.to <= HIGHEST);
            level = step.to;
        }
        for pair in steps.windows(2) {
            let [(before, _), (at, step)] = pair else { unreachable!() };
            // A step down never comes sooner after any other than the hold.
            prop_assert!(step.to > step.from || *at - *before >= HOLD);
        }
        // At most a long wait and its halves, however it went.
        ladder.keep(&all(0.0), HOLD * (PATIENCE_MAX * u32::from(HIGHEST)) + TICK * 10);
        prop_assert_eq!(ladder.ladder.level, 0);
    }
}
