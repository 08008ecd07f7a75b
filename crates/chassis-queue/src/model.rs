//! Jobs, workers, attempts and their outcomes.

use crate::JobId;
use chassis_telemetry::TraceContext;
use serde::{Serialize, de::DeserializeOwned};
use std::{future::Future, time::Duration};

/// Runs jobs. What a job means is the implementor's.
pub trait Worker: Send + Sync + 'static {
    /// Stored as JSON: a release must read what the release before it wrote.
    type Job: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Makes one attempt, in a bounded time. Runs inside the attempt's CONSUMER span; a panic is an unknown outcome.
    fn run(&self, job: &Self::Job, attempt: &Attempt) -> impl Future<Output = Report> + Send;

    /// Counts what has been committed.
    fn observe(&self, fact: &Fact) {
        let _ = fact;
    }
}

/// How soon a job is taken when others wait: weighted 16:4:1, so that none starves another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    Urgent,
    Normal,
    Bulk,
}

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobState {
    /// Waits for its first attempt.
    Accepted,
    /// Waits for another attempt.
    Retrying,
    /// An attempt has started.
    Running,
    Completed,
    Failed,
    /// Its `not_after` passed before an attempt.
    Expired,
    Cancelled,
    /// It may have taken effect; a person decides.
    Unknown,
}

/// One attempt at a job, as its worker sees it.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub id: JobId,
    /// The first job's id of those that were enqueued together.
    pub group: JobId,
    /// The batch that it is part of.
    pub batch: Option<JobId>,
    pub channel: &'static str,
    pub priority: Priority,
    /// From 1; snoozed attempts are not counted.
    pub number: u32,
    /// The caller waits for the outcome; nothing is retried.
    pub now: bool,
}

/// What one attempt came to.
#[derive(Clone, Debug)]
pub struct Report {
    pub outcome: Outcome,
    /// A metric label from a closed set.
    pub provider: &'static str,
    pub took: Duration,
}

/// An attempt's outcome. Reasons are words from a closed set, such as `timeout` or `status_503`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Completed,
    /// It took no effect; repeat it. `after` (at most an hour) replaces the backoff.
    Retry {
        reason: &'static str,
        after: Option<Duration>,
    },
    /// As `Retry`, but not the job's fault: costs no attempt.
    Snooze {
        reason: &'static str,
        after: Option<Duration>,
    },
    /// Permanent.
    Failed {
        reason: &'static str,
    },
    /// It may or may not have taken effect.
    Unknown {
        reason: &'static str,
    },
}

/// How an attempt, or a person's decision, stands in a job's history and in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    Completed,
    Retry,
    Snoozed,
    Failed,
    Unknown,
    Replayed,
    ResolvedCompleted,
    ResolvedFailed,
}

/// Something that is true because it has been committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    Accepted {
        channel: &'static str,
        priority: Priority,
        jobs: usize,
    },
    Attempted {
        channel: &'static str,
        provider: &'static str,
        outcome: AttemptOutcome,
        took: Duration,
    },
    /// `end_to_end` (from the later of accept and `run_at`) is there for completed jobs.
    Finished {
        channel: &'static str,
        priority: Priority,
        state: JobState,
        end_to_end: Option<Duration>,
    },
}

/// A job as it is stored. Times are Unix milliseconds.
#[derive(Clone, Debug)]
pub struct JobRecord {
    pub id: JobId,
    pub group: JobId,
    pub batch: Option<JobId>,
    pub channel: &'static str,
    pub priority: Priority,
    pub state: JobState,
    pub accepted_at: i64,
    /// When it was, or is to be, due first.
    pub first_due: i64,
    /// When it is due next, or when it finished.
    pub at: i64,
    pub not_after: i64,
    pub trace: TraceContext,
    /// Why it failed, is unknown, or waits.
    pub reason: Option<String>,
    pub attempts: Vec<AttemptRecord>,
    /// The job's JSON, as it was enqueued.
    pub payload: String,
}

/// An entry of a job's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Unix milliseconds.
    pub at: i64,
    pub outcome: AttemptOutcome,
    pub provider: String,
    pub duration_ms: i64,
}
