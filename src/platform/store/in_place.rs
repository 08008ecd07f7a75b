//! Whether a look-up is done where it is asked: on the runtime's own worker.
//!
//! Going to a reading thread and back takes two wake-ups, which cost many times what finding a row in the page cache
//! does. A disk that is slow would hold up the worker instead, and with it what waits to run there next. So three
//! things bound what the runtime can lose:
//! - One worker at least is never held up, and takes over what the others have queued, but for the one task that each
//!   was to run next: there are fewer connections for this than workers. They serve nothing else, or one that a
//!   thread has would send the next look-up to the threads, and so on.
//! - Time is accounted: each may take [`USUAL`], and when all together are [`MOST_OVER`] behind that, look-ups
//!   go to the threads for [`PAUSE`]. A single limit for each would not do: on a busy machine the kernel takes the
//!   processor away for some milliseconds now and then, and the host for longer, which tells nothing of the disk. So
//!   none counts for more than [`MOST_OF_ONE`].
//! - What the threads see in the meantime is accounted as well: while the disk stays slow, the pause goes on.
//!
//! What is read, and how, stands in `readers.rs`.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// What a look-up may take: several times what one in the page cache does.
const USUAL: Duration = Duration::from_micros(100);
/// How much longer than usual look-ups may have taken in all before they go to the threads.
const MOST_OVER: Duration = Duration::from_millis(10);
/// How much of that one may be to blame for.
const MOST_OF_ONE: Duration = Duration::from_micros(2500);
/// For how long they do then.
const PAUSE: Duration = Duration::from_secs(1);

/// The connections for looking up in place, and when that may be done.
pub(super) struct InPlace<C> {
    /// How many connections there may be.
    most: usize,
    state: Mutex<State<C>>,
}

struct State<C> {
    idle: Vec<C>,
    lent: usize,
    closed: bool,
    pace: Pace,
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
    /// Other workers do, which will not take long.
    Now,
    /// For a while, or ever.
    Here,
}

impl<C> InPlace<C> {
    /// `workers` of the runtime that asks.
    pub fn new(workers: usize) -> Self {
        let state = State { idle: Vec::new(), lent: 0, closed: false, pace: Pace::default() };
        Self { most: workers.saturating_sub(1), state: Mutex::new(state) }
    }

    /// A connection to look up with at this time; it has to come back by [`Self::give_back`].
    ///
    /// # Errors
    /// There is none, or it may not be used.
    pub fn lend(&self, now: Instant) -> Result<C, Not> {
        let mut state = self.state.lock();
        if !state.pace.allows(now) {
            return Err(Not::Here);
        }
        match state.idle.pop() {
            Some(connection) => {
                state.lent += 1;
                Ok(connection)
            }
            None if state.lent > 0 => Err(Not::Now),
            None => Err(Not::Here),
        }
    }

    /// Takes back what was lent, `None` for one that failed, and accounts for the look-up.
    pub fn give_back(&self, connection: Option<C>, time: Duration, now: Instant) {
        let mut state = self.state.lock();
        state.lent -= 1;
        let kept = connection.filter(|_| !state.closed);
        state.idle.extend(kept);
        state.pace.took(time, now);
    }

    /// Accounts for a look-up that a thread has done.
    pub fn took(&self, time: Duration, now: Instant) {
        self.state.lock().pace.took(time, now);
    }

    /// Whether another connection is wanted.
    pub fn is_short(&self) -> bool {
        let state = self.state.lock();
        !state.closed && state.idle.len() + state.lent < self.most
    }

    /// Keeps a connection that a thread has opened, unless there are enough by now.
    pub fn keep(&self, connection: C) {
        let mut state = self.state.lock();
        if !state.closed && state.idle.len() + state.lent < self.most {
            state.idle.push(connection);
        }
    }

    /// Does this with all that are not lent, and keeps those for which it says so.
    pub fn for_idle(&self, keep: impl FnMut(&mut C) -> bool) {
        self.state.lock().idle.retain_mut(keep);
    }

    /// Drops all connections, and lends none any more.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.idle.clear();
    }
}

impl Pace {
    fn allows(&self, now: Instant) -> bool {
        self.resumes.is_none_or(|resumes| resumes <= now)
    }

    fn took(&mut self, time: Duration, now: Instant) {
        self.over = (self.over + time.min(MOST_OF_ONE)).saturating_sub(USUAL);
        if self.over > MOST_OVER {
            *self = Self { over: MOST_OVER, resumes: Some(now + PAUSE) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_micros(10);
    const PREEMPTED: Duration = Duration::from_millis(40);
    const SLOW: Duration = Duration::from_millis(1);

    /// With as many connections as it takes.
    fn in_place(workers: usize) -> InPlace<usize> {
        let in_place = InPlace::new(workers);
        let kept =
            (0..).take_while(|connection| in_place.is_short().then(|| in_place.keep(*connection)).is_some());
        assert_eq!(kept.count(), workers.saturating_sub(1));
        in_place
    }

    fn allows(in_place: &InPlace<usize>, now: Instant) -> bool {
        in_place.lend(now).map(|connection| in_place.give_back(Some(connection), QUICK, now)).is_ok()
    }

    #[test]
    fn one_worker_is_never_held_up() {
        let (workers, now) = (4, Instant::now());
        let in_place = in_place(workers);
        let lent: Vec<_> = (1..workers).map(|_| in_place.lend(now).unwrap()).collect();
        assert_eq!(in_place.lend(now), Err(Not::Now));
        in_place.give_back(Some(lent[0]), QUICK, now);
        assert_eq!(in_place.lend(now), Ok(lent[0]));
        assert_eq!(self::in_place(1).lend(now), Err(Not::Here));
    }

    #[test]
    fn one_that_failed_is_replaced_by_a_threads() {
        let (in_place, now) = (in_place(2), Instant::now());
        in_place.lend(now).unwrap();
        in_place.give_back(None, QUICK, now);
        assert_eq!(in_place.lend(now), Err(Not::Here));
        in_place.keep(7);
        in_place.keep(8);
        assert_eq!((in_place.lend(now), in_place.lend(now)), (Ok(7), Err(Not::Now)));
    }

    #[test]
    fn once_closed_it_keeps_none_whether_lent_or_idle() {
        let (in_place, now) = (in_place(3), Instant::now());
        let lent = in_place.lend(now).unwrap();
        in_place.close();
        in_place.give_back(Some(lent), QUICK, now);
        in_place.keep(9);
        assert!(!in_place.is_short());
        assert_eq!(in_place.lend(now), Err(Not::Here));
    }

    #[test]
    fn a_slow_disk_is_left_to_the_threads_until_it_is_quick_again() {
        let (in_place, start) = (in_place(2), Instant::now());
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
        let (in_place, now) = (in_place(2), Instant::now());
        for _ in 0..100 {
            in_place.took(PREEMPTED, now);
            (0..50).for_each(|_| in_place.took(QUICK, now));
        }
        assert!(allows(&in_place, now));
    }
}
