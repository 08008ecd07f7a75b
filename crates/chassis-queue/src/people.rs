//! What callers and operators ask and decide: find, cancel, dead letters, replay, resolve.

use crate::{JobId, JobRecord, JobState, Queue, StoreError, Worker};

/// Which jobs wait for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    Failed,
    Unknown,
}

/// Which failed jobs to replay; everything is optional. Times are Unix milliseconds of the failure.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub reason: Option<String>,
    pub channel: Option<String>,
    /// Inclusive.
    pub since: Option<i64>,
    /// Exclusive.
    pub until: Option<i64>,
    pub limit: Option<usize>,
}

/// A person's verdict on an unknown job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Completed,
    Failed,
}

impl<W: Worker> Queue<W> {
    /// All jobs of a group in order; `None` if there is no such group.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn find(&self, group: JobId) -> Result<Option<Vec<JobRecord>>, StoreError> {
        let _ = group;
        todo!()
    }

    /// Cancels the group's jobs that are accepted or retrying. Gives how many it cancelled and the jobs afterwards;
    /// `None` if there is no such group.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn cancel(&self, group: JobId) -> Result<Option<(usize, Vec<JobRecord>)>, StoreError> {
        let _ = group;
        todo!()
    }

    /// A page of jobs that wait for a person, newest first, with ids below `before`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn dead_letters(
        &self,
        which: Waiting,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StoreError> {
        let _ = (which, before, limit);
        todo!()
    }

    /// Queues a failed or unknown job again, with its history; `None` if there is no such job, `Err(state)` inside
    /// if it is in another state. A `not_after` that has passed is moved.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn replay(&self, job: JobId) -> Result<Option<Result<(), JobState>>, StoreError> {
        let _ = job;
        todo!()
    }

    /// Replays the failed jobs that match, and gives how many they were.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn replay_where(&self, filter: &Filter) -> Result<usize, StoreError> {
        let _ = filter;
        todo!()
    }

    /// Records a person's verdict on the unknown jobs of a group, or on one unknown job; answers as [`Self::replay`].
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn resolve(
        &self,
        id: JobId,
        verdict: Verdict,
    ) -> Result<Option<Result<(), JobState>>, StoreError> {
        let _ = (id, verdict);
        todo!()
    }
}
