//! How many unfinished jobs there are, so that a new one can be refused before it costs anything.
//!
//! A recount of the store, a few times a second, gives the base; what this process committed since, and what it is
//! about to commit, is added. So the bound is exact with one process, and lags by a recount with several.

use crate::{Priority, QueueConfig, Refused};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest wait that a refused caller is told.
const LONGEST: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(crate) struct Backlog {
    max: Jobs,
    state: Mutex<State>,
}

/// Jobs that are due (also those that run or wait for a retry), and those due at a later `run_at`.
pub(crate) type Jobs = [i64; 2];

#[derive(Debug, Default)]
struct State {
    /// The last recount, with what this process has added and finished since.
    committed: Jobs,
    reserved: Jobs,
    /// Jobs finished since the last recount, and when that was.
    finished: usize,
    taken: Option<Instant>,
    /// Jobs finished in a second, smoothed over some 3 s.
    rate: f64,
}

/// Room for jobs that are about to be committed; given back unless it is kept.
#[derive(Debug)]
pub(crate) struct Reservation {
    backlog: Arc<Backlog>,
    kind: usize,
    jobs: i64,
}

impl Backlog {
    pub(crate) fn new(config: &QueueConfig) -> Self {
        let max = [config.max_backlog, config.max_scheduled].map(|max| max as i64);
        Self { max, state: Mutex::default() }
    }

    /// Takes room; urgent jobs may exceed the bound by a tenth.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        scheduled: bool,
        priority: Priority,
        jobs: usize,
    ) -> Result<Reservation, Refused> {
        let (kind, jobs) = (usize::from(scheduled), jobs as i64);
        let mut state = self.state.lock();
        let extra = if priority == Priority::Urgent && !scheduled { (self.max[kind] + 9) / 10 } else { 0 };
        let over = state.committed[kind] + state.reserved[kind] + jobs - self.max[kind] - extra;
        if over > 0 {
            return Err(Refused::BacklogFull { retry_after: state.time_for(over) });
        }
        state.reserved[kind] += jobs;
        Ok(Reservation { backlog: Arc::clone(self), kind, jobs })
    }

    /// Jobs have ended.
    pub(crate) fn finished(&self, jobs: usize) {
        let mut state = self.state.lock();
        state.committed[0] -= jobs as i64;
        state.finished += jobs;
    }

    /// Jobs have been queued again, or (less than 0) cancelled.
    pub(crate) fn changed(&self, [due, scheduled]: Jobs) {
        let mut state = self.state.lock();
        state.committed[0] += due;
        state.committed[1] += scheduled;
    }

    /// To be taken when a recount begins.
    pub(crate) fn mark(&self) -> Jobs {
        self.state.lock().committed
    }

    /// Takes over a recount that began at `mark`.
    pub(crate) fn recount(&self, mark: Jobs, counted: Jobs) {
        let mut state = self.state.lock();
        state.committed[0] += counted[0] - mark[0];
        state.committed[1] += counted[1] - mark[1];
        let passed = state.taken.replace(Instant::now()).map_or(1.0, |taken| taken.elapsed().as_secs_f64());
        let rate = std::mem::take(&mut state.finished) as f64 / passed.max(0.001);
        state.rate += (rate - state.rate) * (passed / 3.0).min(1.0);
    }

    /// In how long all due jobs may be finished at the speed of the last seconds.
    pub(crate) fn clears_in(&self) -> Duration {
        let state = self.state.lock();
        let due = state.committed[0];
        if due <= 0 { Duration::ZERO } else { state.time_for(due) }
    }
}

impl State {
    fn time_for(&self, jobs: i64) -> Duration {
        let seconds = if self.rate > 0.0 { jobs as f64 / self.rate } else { LONGEST.as_secs_f64() };
        Duration::from_secs_f64(seconds.clamp(1.0, LONGEST.as_secs_f64()))
    }
}

impl Reservation {
    /// The jobs are committed.
    pub(crate) fn keep(self) {
        self.backlog.state.lock().committed[self.kind] += self.jobs;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.backlog.state.lock().reserved[self.kind] -= self.jobs;
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
        backlog.recount(mark, [3, 0]);
        assert!(take(2).is_err());
        assert!(take(1).is_ok());
        backlog.finished(9);
        assert!(take(10).is_ok());
    }

    #[test]
    fn urgent_jobs_may_exceed_the_bound_by_a_tenth_and_scheduled_ones_have_their_own() {
        let backlog = backlog(10);
        backlog.reserve(false, Priority::Normal, 10).unwrap().keep();
        let full = backlog.reserve(false, Priority::Normal, 1).unwrap_err();
        let later =
            matches!(full, Refused::BacklogFull { retry_after } if retry_after >= Duration::from_secs(1));
        assert!(later, "{full}");
        backlog.reserve(false, Priority::Urgent, 1).unwrap().keep();
        assert!(backlog.reserve(false, Priority::Urgent, 1).is_err());
        backlog.reserve(true, Priority::Normal, 5).unwrap().keep();
        assert!(backlog.reserve(true, Priority::Normal, 1).is_err());
    }
}
