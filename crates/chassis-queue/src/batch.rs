//! Batches: one template and many members. Accepted in one short commit, expanded into jobs afterwards.

use crate::{Answer, Enqueued, JobId, JobState, Key, Priority, Queue, Refused, StoreError, Worker};
use chassis_telemetry::TraceContext;
use serde::Serialize;

/// A fan-out: a job's JSON is the template's object and a member's object, put together.
#[derive(Debug)]
pub struct Batch {
    /// From [`Queue::new_id`].
    pub id: JobId,
    pub channel: &'static str,
    pub priority: Priority,
    /// Unix milliseconds; `None` is now.
    pub run_at: Option<i64>,
    /// Unix milliseconds after which no attempt starts.
    pub not_after: i64,
    /// A JSON object with the fields that all jobs share, e.g. `serde_json::to_string(&Template { .. })`.
    pub template: String,
    pub members: Members,
    /// How many were left out, for whoever asks.
    pub skipped: usize,
    pub key: Option<Key>,
    pub answer: Answer,
}

/// The members of a batch, packed into chunks of which each is expanded by one commit.
#[derive(Debug, Default)]
pub struct Members {
    chunks: Vec<String>,
    groups: usize,
    jobs: usize,
}

impl Members {
    /// Adds one group of jobs: each item is a JSON object with the fields in which a job differs from the template.
    ///
    /// # Errors
    /// An item cannot be written as JSON.
    pub fn push<M: Serialize>(&mut self, group: &[M]) -> Result<(), serde_json::Error> {
        let _ = (group, &self.chunks);
        todo!()
    }

    /// Groups added so far.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Jobs added so far.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.jobs
    }
}

/// A batch as it is stored, with what became of its groups. Times are Unix milliseconds.
#[derive(Clone, Debug)]
pub struct BatchRecord {
    pub id: JobId,
    pub channel: &'static str,
    pub priority: Priority,
    pub accepted_at: i64,
    pub first_due: i64,
    pub not_after: i64,
    /// The accepting request's; each group has a trace of its own.
    pub trace: TraceContext,
    pub groups: usize,
    pub skipped: usize,
    /// Groups that are still kept, by state; those not expanded yet are `Accepted`.
    pub counts: Vec<(JobState, usize)>,
}

impl<W: Worker> Queue<W> {
    /// Accepts a batch, all of it or nothing.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn enqueue_batch(&self, batch: Batch) -> Result<Enqueued, Refused> {
        let _ = batch;
        todo!()
    }

    /// A batch and its groups by state; `overall` makes one state of those of a group's jobs (each given once).
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn batch(
        &self,
        id: JobId,
        overall: fn(&[JobState]) -> JobState,
    ) -> Result<Option<BatchRecord>, StoreError> {
        let _ = (id, overall);
        todo!()
    }
}
