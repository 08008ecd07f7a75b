//! Whether a look-up is done where it is asked: on the runtime's own worker.
//!
//! Going to a reading thread and back takes two wake-ups, which cost many times what finding a few rows in the
//! page cache does. A disk that is slow would hold up the worker instead, and with it what waits to run there
//! next. So three things bound what the runtime can lose:
//! - One look-up at a time is done in place, and only where there are other workers; they take over what the
//!   held up one has queued, but for the one task that it was to run next.
//! - Time is accounted: each may take [`USUAL`], and when all together are [`MOST_OVER`] behind that, look-ups
//!   go to the threads for [`PAUSE`]. A single limit for each would not do: on a busy machine the kernel takes the
//!   processor away for some milliseconds now and then, which tells nothing of the disk.
//! - What the threads see in the meantime is accounted as well: while the disk stays slow, the pause goes on.
//!
//! What is read, and by which connection, stands in `readers.rs`.

use parking_lot::Mutex;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// What a look-up may take: several times what one in the page cache does.
const USUAL: Duration = Duration::from_micros(100);
/// How much longer than usual look-ups may have taken in all before they go to the threads.
const MOST_OVER: Duration = Duration::from_millis(10);
/// For how long they do then.
const PAUSE: Duration = Duration::from_secs(1);

/// Who may look up in place, and when.
pub(super) struct InPlace {
    /// Whether the runtime has other workers.
    spare: bool,
    taken: AtomicBool,
    pace: Mutex<Pace>,
}

/// How quick look-ups are.
#[derive(Default)]
struct Pace {
    /// How much longer than usual they took, less what others took less.
    over: Duration,
    /// When they may be done in place again.
    resumes: Option<Instant>,
}

/// Why nothing is looked up in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Not {
    /// Another worker does, which will not take long.
    Now,
    /// For a while, or ever.
    Here,
}

/// The right to look up in place, until it is dropped.
pub(super) struct Turn<'a>(&'a InPlace);

impl InPlace {
    /// `workers` of the runtime that asks.
    pub fn new(workers: usize) -> Self {
        Self { spare: workers > 1, taken: AtomicBool::new(false), pace: Mutex::default() }
    }

    /// The right to look up in place at this time.
    ///
    /// # Errors
    /// It is not to be had.
    pub fn turn(&self, now: Instant) -> Result<Turn<'_>, Not> {
        if !self.spare || !self.pace.lock().allows(now) {
            return Err(Not::Here);
        }
        if self.taken.swap(true, Ordering::Acquire) {
            return Err(Not::Now);
        }
        Ok(Turn(self))
    }

    /// Accounts for a look-up, wherever it was done.
    pub fn took(&self, time: Duration, now: Instant) {
        self.pace.lock().took(time, now);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}

impl Pace {
    fn allows(&self, now: Instant) -> bool {
        self.resumes.is_none_or(|resumes| resumes <= now)
    }

    fn took(&mut self, time: Duration, now: Instant) {
        self.over = (self.over + time).saturating_sub(USUAL);
        if self.over > MOST_OVER {
            *self = Self { over: MOST_OVER, resumes: Some(now + PAUSE) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_micros(10);
    const PREEMPTED: Duration = Duration::from_millis(4);
    const SLOW: Duration = Duration::from_millis(1);

    fn allows(in_place: &InPlace, now: Instant) -> bool {
        in_place.turn(now).is_ok()
    }

    #[test]
    fn one_at_a_time_has_the_turn_and_gives_it_back() {
        let (in_place, now) = (InPlace::new(2), Instant::now());
        let turn = in_place.turn(now);
        assert!(turn.is_ok());
        assert_eq!(in_place.turn(now).err(), Some(Not::Now));
        drop(turn);
        assert!(allows(&in_place, now));
    }

    #[test]
    fn an_only_worker_is_never_held_up() {
        assert_eq!(InPlace::new(1).turn(Instant::now()).err(), Some(Not::Here));
    }

    #[test]
    fn a_slow_disk_is_left_to_the_threads_until_it_is_quick_again() {
        let (in_place, start) = (InPlace::new(2), Instant::now());
        (0..11).for_each(|_| in_place.took(SLOW, start));
        assert!(allows(&in_place, start));
        in_place.took(SLOW, start);
        assert!(!allows(&in_place, start) && !allows(&in_place, start + PAUSE / 2));
        // Seen by a thread.
        in_place.took(SLOW, start + PAUSE / 2);
        assert!(!allows(&in_place, start + PAUSE));
        in_place.took(QUICK, start + PAUSE);
        assert!(allows(&in_place, start + PAUSE * 3 / 2));
    }

    #[test]
    fn a_worker_that_loses_the_processor_now_and_then_is_no_slow_disk() {
        let (in_place, now) = (InPlace::new(2), Instant::now());
        for _ in 0..100 {
            in_place.took(PREEMPTED, now);
            (0..50).for_each(|_| in_place.took(QUICK, now));
        }
        assert!(allows(&in_place, now));
    }
}
