//! Durable jobs over the store: the interface that a domain uses. What a job means is the domain's.

mod idempotency;
mod model;

pub use idempotency::{Answer, IdempotencyKey};
pub use model::{
    Attempt, AttemptRecord, DeadLetters, Fact, Handler, Job, JobId, JobRecord, Outcome, Priority, Refused,
    Status, Submission, Submitted, Verdict,
};

use crate::platform::store::{StoreError, WriteError};

/// The durable queue. Cheap to clone.
#[derive(Clone)]
pub struct Queue {}

impl Queue {
    /// Ids for a notification of `parts` jobs: the first is the notification's own, the rest follow it.
    /// Ids rise with time and hold the time of their making.
    pub fn allocate(&self, _parts: usize) -> JobId {
        todo!()
    }

    /// Accepts jobs to be delivered later; answers once they are committed. Call inside the PRODUCER
    /// span: its context is kept in the jobs, and the times waited and committed are recorded on it.
    pub async fn submit(&self, _submission: Submission) -> Result<Submitted, Refused> {
        todo!()
    }

    /// Commits jobs as `sending`, makes one attempt of each and commits its outcome; never retried.
    /// The caller's leaving cancels nothing. The answer is `Submitted::Finished`.
    pub async fn deliver_now(&self, _submission: Submission) -> Result<Submitted, Refused> {
        todo!()
    }

    /// All jobs of a notification in order, empty if there is none of that id.
    pub async fn find(&self, _id: JobId) -> Result<Vec<JobRecord>, StoreError> {
        todo!()
    }

    /// Cancels the notification's jobs that are `accepted` or `retrying`, and says how many it cancelled
    /// and what the jobs are afterwards; an empty list if there is no such notification.
    pub async fn cancel(&self, _id: JobId) -> Result<(usize, Vec<JobRecord>), WriteError> {
        todo!()
    }

    /// A page of jobs that are `dead` (or `unknown`), newest first, older than `before`.
    pub async fn dead_letters(
        &self,
        _which: DeadLetters,
        _before: Option<JobId>,
        _limit: usize,
    ) -> Result<Vec<JobRecord>, StoreError> {
        todo!()
    }

    /// Queues a dead or unknown job again with its history; `None` if there is no such job, `Err(status)`
    /// inside if it is in another status.
    pub async fn replay(&self, _id: JobId) -> Result<Option<Result<(), Status>>, WriteError> {
        todo!()
    }

    /// A person's verdict on an `unknown` job (or on every unknown job of a notification); answers as `replay`.
    pub async fn resolve(
        &self,
        _id: JobId,
        _verdict: Verdict,
    ) -> Result<Option<Result<(), Status>>, WriteError> {
        todo!()
    }
}
