//! The queue's counts in memory: what bounds the backlog and what the gauges tell.
//!
//! Changed in the order of the commits, so that they agree with the store whenever nothing is in flight.

use super::{JobId, Priority};
use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

/// Seconds over which the speed of finishing is measured.
const WINDOW: Duration = Duration::from_secs(10);
/// `Retry-After` of a full backlog.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(300);

/// The bounds of the configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub backlog: usize,
    pub scheduled: usize,
}

/// Which bound a job counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Due,
    /// Its `sendAt` lies ahead.
    Scheduled,
}

/// Unfinished jobs by what they are doing.
#[derive(Debug)]
pub(super) struct Book {
    bounds: Bounds,
    /// Room taken by submissions that are being committed: due, scheduled.
    reserved: [usize; 2],
    /// Unfinished and due once, running and retrying ones among them.
    backlog: usize,
    scheduled: usize,
    /// Of the backlog: waiting for a retry that is not due.
    waiting: usize,
    running: usize,
    /// Attempted and unfinished, by when they were first due: the oldest one tells the age.
    attempted: BTreeSet<(Priority, i64, JobId)>,
    finished: VecDeque<(Instant, usize)>,
}

/// What the gauges show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub ready: usize,
    pub scheduled: usize,
    pub running: usize,
}

impl Book {
    pub(super) fn new(bounds: Bounds) -> Self {
        let attempted = BTreeSet::new();
        let reserved = [0; 2];
        Self {
            bounds,
            reserved,
            backlog: 0,
            scheduled: 0,
            waiting: 0,
            running: 0,
            attempted,
            finished: VecDeque::new(),
        }
    }

    /// Makes room for `jobs`, all or none; `urgent` ones may exceed the backlog by a tenth. The room is
    /// taken until [`Self::settle`].
    ///
    /// # Errors
    /// After how long there may be room, from the speed at which jobs finish.
    pub(super) fn reserve(&mut self, kind: Kind, urgent: bool, jobs: usize) -> Result<(), Duration> {
        let (count, bound) = match kind {
            Kind::Due if urgent => (self.backlog, self.bounds.backlog + self.bounds.backlog / 10),
            Kind::Due => (self.backlog, self.bounds.backlog),
            Kind::Scheduled => (self.scheduled, self.bounds.scheduled),
        };
        let wanted = count + self.reserved[kind as usize] + jobs;
        if wanted <= bound {
            self.reserved[kind as usize] += jobs;
            return Ok(());
        }
        Err(if kind == Kind::Due { self.room_in(wanted - bound) } else { RETRY_MAX })
    }

    /// The commit of reserved jobs has ended: they are in the store, or they are not.
    pub(super) fn settle(&mut self, kind: Kind, jobs: usize, stored: bool) {
        let reserved = &mut self.reserved[kind as usize];
        *reserved = reserved.saturating_sub(jobs);
        if stored {
            self.add(kind, jobs, false);
        }
    }

    /// Forgets all counts but the reservations, to be told anew with [`Self::add`].
    pub(super) fn recount(&mut self) {
        (self.backlog, self.scheduled, self.waiting, self.running) = (0, 0, 0, 0);
    }

    /// Tells of running jobs that the store holds, which are part of the backlog.
    pub(super) fn add_running(&mut self, jobs: usize) {
        self.running += jobs;
    }

    /// Adds jobs that the store holds, over the bounds or not; they may be `waiting` for a retry.
    pub(super) fn add(&mut self, kind: Kind, jobs: usize, waiting: bool) {
        match kind {
            Kind::Scheduled => self.scheduled += jobs,
            Kind::Due => {
                self.backlog += jobs;
                self.waiting += if waiting { jobs } else { 0 };
            }
        }
    }

    /// Jobs that have finished, or were cancelled or expired.
    pub(super) fn leave(&mut self, kind: Kind, jobs: usize) {
        let count = if kind == Kind::Scheduled { &mut self.scheduled } else { &mut self.backlog };
        *count = count.saturating_sub(jobs);
    }

    /// Jobs whose `sendAt` has come.
    pub(super) fn scheduled_due(&mut self, jobs: usize) {
        self.scheduled = self.scheduled.saturating_sub(jobs);
        self.backlog += jobs;
    }

    /// Jobs whose retry has come, or will not.
    pub(super) fn waiting_due(&mut self, jobs: usize) {
        self.waiting = self.waiting.saturating_sub(jobs);
    }

    pub(super) fn begun(&mut self, priority: Priority, first_due: i64, id: JobId) {
        self.running += 1;
        self.attempted.insert((priority, first_due, id));
    }

    /// A running job's attempt has ended; it `waits` for another.
    pub(super) fn ended(&mut self, waits: bool) {
        self.running = self.running.saturating_sub(1);
        self.waiting += usize::from(waits);
    }

    /// A due job has ended for good.
    pub(super) fn finished(&mut self, priority: Priority, first_due: i64, id: JobId) {
        self.leave(Kind::Due, 1);
        self.attempted.remove(&(priority, first_due, id));
        let now = Instant::now();
        match self.finished.back_mut() {
            Some((at, count)) if now - *at < Duration::from_secs(1) => *count += 1,
            _ => self.finished.push_back((now, 1)),
        }
        while self.finished.front().is_some_and(|(at, _)| now - *at > WINDOW) {
            self.finished.pop_front();
        }
    }

    /// A job that will not be attempted again, though it did not finish by an attempt.
    pub(super) fn forget(&mut self, priority: Priority, first_due: i64, id: JobId) {
        self.attempted.remove(&(priority, first_due, id));
    }

    pub(super) fn counts(&self) -> Counts {
        let busy = self.waiting + self.running;
        let ready = self.backlog.saturating_sub(busy);
        Counts { ready, scheduled: self.scheduled + self.waiting, running: self.running }
    }

    /// When the oldest attempted job of a priority was first due (Unix ms).
    pub(super) fn oldest_attempted(&self, of: Priority) -> Option<i64> {
        let from = (of, i64::MIN, JobId(0));
        self.attempted.range(from..).next().filter(|(priority, ..)| *priority == of).map(|(_, due, _)| *due)
    }

    pub(super) fn restore_attempted(&mut self, priority: Priority, first_due: i64, id: JobId) {
        self.attempted.insert((priority, first_due, id));
    }

    /// In how long so many jobs have finished, at the speed of the last seconds: 1 s to 5 min.
    pub(super) fn room_in(&self, jobs: usize) -> Duration {
        let recent: usize =
            self.finished.iter().filter(|(at, _)| at.elapsed() <= WINDOW).map(|(_, count)| count).sum();
        if recent == 0 {
            return Duration::from_secs(30);
        }
        WINDOW.mul_f64(jobs as f64 / recent as f64).clamp(RETRY_MIN, RETRY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(backlog: usize) -> Book {
        Book::new(Bounds { backlog, scheduled: 2 })
    }

    #[test]
    fn the_backlog_is_bounded_to_the_job_and_urgent_may_exceed_it_by_a_tenth() {
        let mut book = book(20);
        assert!((0..20).all(|_| book.reserve(Kind::Due, false, 1).is_ok()));
        book.settle(Kind::Due, 20, true);
        assert!(book.reserve(Kind::Due, false, 1).is_err());
        assert!(book.reserve(Kind::Due, true, 2).is_ok());
        assert!(book.reserve(Kind::Due, true, 1).is_err());
        book.settle(Kind::Due, 2, false);
        book.leave(Kind::Due, 1);
        assert!(book.reserve(Kind::Due, false, 1).is_ok());
    }

    #[test]
    fn a_batch_is_taken_whole_or_not_at_all() {
        let mut book = book(3);
        assert!(book.reserve(Kind::Due, false, 4).is_err());
        assert!(book.reserve(Kind::Due, false, 3).is_ok());
    }

    #[test]
    fn scheduled_jobs_have_a_bound_of_their_own_until_they_are_due() {
        let mut book = book(1);
        assert!(book.reserve(Kind::Scheduled, false, 2).is_ok());
        assert!(book.reserve(Kind::Scheduled, true, 1).is_err());
        book.settle(Kind::Scheduled, 2, true);
        book.scheduled_due(1);
        assert_eq!(book.counts(), Counts { ready: 1, scheduled: 1, running: 0 });
        assert!(book.reserve(Kind::Due, false, 1).is_err());
    }

    #[test]
    fn the_oldest_job_keeps_its_age_through_retries() {
        let mut book = book(10);
        book.add(Kind::Due, 2, false);
        for (due, id) in [(5, JobId(1)), (3, JobId(2))] {
            book.begun(Priority::Normal, due, id);
            book.ended(true);
        }
        assert_eq!(book.oldest_attempted(Priority::Normal), Some(3));
        assert_eq!(book.oldest_attempted(Priority::Urgent), None);
        book.waiting_due(1);
        book.finished(Priority::Normal, 3, JobId(2));
        assert_eq!(book.oldest_attempted(Priority::Normal), Some(5));
        assert_eq!(book.counts(), Counts { ready: 0, scheduled: 1, running: 0 });
    }

    #[test]
    fn a_full_backlog_says_when_there_may_be_room() {
        let mut book = book(100);
        book.add(Kind::Due, 100, false);
        (0..50).for_each(|number| book.finished(Priority::Normal, 0, JobId(number)));
        book.reserve(Kind::Due, false, 50).unwrap();
        let wait = book.reserve(Kind::Due, false, 10).unwrap_err();
        assert!((RETRY_MIN..=Duration::from_secs(2)).contains(&wait), "{wait:?}");
    }
}
