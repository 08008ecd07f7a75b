//! How many unfinished jobs there are, so that a new one can be refused before it costs anything.
//!
//! A recount of the store, a few times a second, gives the base; what this process committed since, and what it is
//! about to commit, is added. So the bound is exact with one process, and lags by a recount with several.

use crate::{Priority, QueueConfig};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The longest wait that a refused caller is told.
const LONGEST: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(crate) struct Backlog {
    max: Jobs,
    state: Mutex<State>,
}

/// Jobs by kind: due (also those that run or wait for a retry), and due at a later `run_at`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Jobs {
    pub(crate) due: i64,
    pub(crate) scheduled: i64,
}

#[derive(Debug, Default)]
struct State {
    /// The last recount, less what had been committed when it began.
    base: Jobs,
    /// What this process has added since it began, less what it finished.
    committed: Jobs,
    reserved: Jobs,
    finished: u64,
    /// Jobs finished in a second, smoothed, and when it was last taken.
    rate: f64,
    taken: Option<(Instant, u64)>,
}

/// Room for jobs that are about to be committed; given back unless it is kept.
#[derive(Debug)]
pub(crate) struct Room {
    backlog: Arc<Backlog>,
    jobs: Jobs,
}

impl Jobs {
    fn of(scheduled: bool, jobs: usize) -> Self {
        let jobs = jobs as i64;
        if scheduled { Self { due: 0, scheduled: jobs } } else { Self { due: jobs, scheduled: 0 } }
    }

    fn plus(self, other: Self) -> Self {
        Self { due: self.due + other.due, scheduled: self.scheduled + other.scheduled }
    }

    fn minus(self, other: Self) -> Self {
        Self { due: self.due - other.due, scheduled: self.scheduled - other.scheduled }
    }
}

impl Backlog {
    pub(crate) fn new(config: &QueueConfig) -> Self {
        let max = Jobs { due: config.max_backlog as i64, scheduled: config.max_scheduled as i64 };
        Self { max, state: Mutex::default() }
    }

    /// Takes room; urgent jobs may exceed the bound by a tenth.
    ///
    /// # Errors
    /// The backlog is full; there may be room after this time.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        scheduled: bool,
        priority: Priority,
        jobs: usize,
    ) -> Result<Room, Duration> {
        let jobs = Jobs::of(scheduled, jobs);
        let mut state = self.state.lock();
        let all = state.base.plus(state.committed).plus(state.reserved).plus(jobs);
        let extra = if priority == Priority::Urgent { (self.max.due + 9) / 10 } else { 0 };
        let over =
            if scheduled { all.scheduled - self.max.scheduled } else { all.due - self.max.due - extra };
        if over > 0 {
            return Err(state.time_for(over));
        }
        state.reserved = state.reserved.plus(jobs);
        Ok(Room { backlog: Arc::clone(self), jobs })
    }

    /// Jobs have ended.
    pub(crate) fn finished(&self, jobs: usize) {
        let mut state = self.state.lock();
        state.committed.due -= jobs as i64;
        state.finished += jobs as u64;
    }

    /// Jobs have been queued again.
    pub(crate) fn replayed(&self, jobs: usize) {
        self.state.lock().committed.due += jobs as i64;
    }

    /// To be taken before a recount begins.
    pub(crate) fn mark(&self) -> Jobs {
        self.state.lock().committed
    }

    /// Takes over a recount that began at `mark`.
    pub(crate) fn recount(&self, mark: Jobs, counted: Jobs) {
        let mut state = self.state.lock();
        state.base = counted.minus(mark);
        let now = Instant::now();
        let finished = state.finished;
        let (since, before) = *state.taken.get_or_insert((now, finished));
        let passed = (now - since).as_secs_f64();
        if passed >= 1.0 {
            let rate = (finished - before) as f64 / passed;
            state.rate = if state.rate == 0.0 { rate } else { 0.7 * state.rate + 0.3 * rate };
            state.taken = Some((now, finished));
        }
    }

    /// In how long all due jobs may be finished at the speed of the last seconds.
    pub(crate) fn clears_in(&self) -> Duration {
        let state = self.state.lock();
        let due = state.base.plus(state.committed).due;
        if due <= 0 { Duration::ZERO } else { state.time_for(due) }
    }
}

impl State {
    fn time_for(&self, jobs: i64) -> Duration {
        let seconds = if self.rate > 0.0 { jobs as f64 / self.rate } else { LONGEST.as_secs_f64() };
        Duration::from_secs_f64(seconds.clamp(1.0, LONGEST.as_secs_f64()))
    }
}

impl Room {
    /// The jobs are committed.
    pub(crate) fn keep(self) {
        let mut state = self.backlog.state.lock();
        state.committed = state.committed.plus(self.jobs);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.backlog.state.lock();
        state.reserved = state.reserved.minus(self.jobs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(max_backlog: usize) -> Arc<Backlog> {
        let retention = Duration::from_secs(1);
        Arc::new(Backlog::new(&QueueConfig { max_backlog, max_scheduled: 5, workers: 1, retention }))
    }

    #[test]
    fn room_that_is_not_kept_is_given_back_and_a_recount_counts_nothing_twice() {
        let backlog = backlog(10);
        let take = |jobs| backlog.reserve(false, Priority::Normal, jobs);
        drop(take(10).unwrap());
        let mark = backlog.mark();
        take(6).unwrap().keep();
        // The recount began before the commit and did not see it.
        backlog.recount(mark, Jobs { due: 3, scheduled: 0 });
        assert!(take(2).is_err());
        assert!(take(1).is_ok());
        backlog.finished(9);
        assert!(take(10).is_ok());
    }

    #[test]
    fn urgent_jobs_may_exceed_the_bound_by_a_tenth_and_scheduled_ones_have_their_own() {
        let backlog = backlog(10);
        backlog.reserve(false, Priority::Normal, 10).unwrap().keep();
        assert!(
            backlog.reserve(false, Priority::Normal, 1).is_err_and(|wait| wait >= Duration::from_secs(1))
        );
        backlog.reserve(false, Priority::Urgent, 1).unwrap().keep();
        assert!(backlog.reserve(false, Priority::Urgent, 1).is_err());
        backlog.reserve(true, Priority::Normal, 5).unwrap().keep();
        assert!(backlog.reserve(true, Priority::Normal, 1).is_err());
    }
}
