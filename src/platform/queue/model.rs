//! The queue's words: jobs, their states, attempts and outcomes.

use super::{Answer, IdempotencyKey, JobId, Payloads, Precondition};
use crate::platform::telemetry::TraceContext;
use std::{future::Future, sync::Arc, time::Duration};

/// How soon a job is taken when others wait: weighted, so that none starves another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    Urgent,
    Normal,
    Bulk,
}

impl Priority {
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Normal, Self::Bulk];
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
        }
    }
}

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    Accepted,
    Sending,
    Retrying,
    Delivered,
    Dead,
    Expired,
    Cancelled,
    Unknown,
}

impl Status {
    pub const ALL: [Self; 8] = [
        Self::Accepted,
        Self::Sending,
        Self::Retrying,
        Self::Delivered,
        Self::Dead,
        Self::Expired,
        Self::Cancelled,
        Self::Unknown,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Sending => "sending",
            Self::Retrying => "retrying",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }
}

/// Makes an answer out of a notification's jobs.
pub type AnswerOf = fn(JobId, &[Status]) -> Answer;

/// What a domain submits: one notification of one or more jobs, which differ in payload only.
pub struct Submission {
    /// From [`super::Queue::allocate`] with as many parts as `payloads`.
    pub id: JobId,
    /// One of the channels that the queue was opened with: a label, never a patient's value.
    pub channel: &'static str,
    pub priority: Priority,
    /// Unix milliseconds; `None` is now.
    pub send_at: Option<i64>,
    /// Unix milliseconds after which no attempt begins.
    pub not_after: i64,
    pub payloads: Vec<Vec<u8>>,
    pub idempotency: Option<IdempotencyKey>,
    /// Has to hold in the transaction that stores it; else nothing is stored and it is [`Refused::Unmet`].
    pub precondition: Option<Precondition>,
    /// Makes the answer that is kept under the idempotency key, from the jobs' statuses.
    pub answer: AnswerOf,
}

/// What became of a submission.
#[derive(Debug)]
pub enum Submitted {
    /// Committed, to be delivered later.
    Accepted,
    /// Attempted at once; a status for each job.
    Finished(Vec<Status>),
    /// The key was used before with the same body: the first answer again.
    Replayed(Answer),
    /// The key's first use is still being delivered (synchronous calls only).
    InFlight,
}

/// Why nothing was accepted.
#[derive(Debug)]
pub enum Refused {
    /// Try again after this.
    BacklogFull { retry_after: Duration },
    /// The key was used before with another body.
    KeyReused,
    /// The submission's precondition does not hold.
    Unmet,
    /// Nothing was stored.
    StoreUnavailable,
    /// The store vanished during the commit; it may have been stored.
    CommitUnknown,
}

/// A job in a worker's hand.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: JobId,
    /// The notification that it is part of.
    pub notification: JobId,
    pub channel: &'static str,
    pub priority: Priority,
    /// Which attempt this is, from 1; parked ones are not counted.
    pub attempt: u32,
    pub payload: Arc<[u8]>,
}

/// One attempt, as the domain made it.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub outcome: Outcome,
    /// A label from a closed set.
    pub provider: &'static str,
    pub took: Duration,
}

/// What an attempt came to. Reasons are from a closed set of words, as `timeout` or `status_503`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    /// Failed before anything can have been sent. `after` is the gateway's wish.
    Retry {
        reason: &'static str,
        after: Option<Duration>,
    },
    /// Not tried, or turned away by a limit: costs no attempt.
    Parked {
        reason: &'static str,
        after: Option<Duration>,
    },
    /// Permanent.
    Dead {
        reason: &'static str,
    },
    /// May or may not have been sent.
    Unknown {
        reason: &'static str,
    },
}

/// What a domain does with jobs.
pub trait Handler: Send + Sync + 'static {
    /// Makes one attempt, in a bounded time. Runs inside the job's CONSUMER span.
    fn attempt(&self, job: &Job) -> impl Future<Output = Attempt> + Send;
    /// The notifications of a batch's template and some of its members, in order; `None` if they are of a
    /// form that this release does not know. A pure function: it may be asked again.
    fn expand(&self, _template: &[u8], _members: &[u8]) -> Option<Vec<Payloads>> {
        None
    }
    /// Counts what has been committed.
    fn observe(&self, fact: &Fact);
}

/// Something that is true because it has been committed (or refused).
#[derive(Clone, Debug)]
pub enum Fact {
    Accepted {
        channel: &'static str,
        priority: Priority,
        jobs: usize,
    },
    /// `outcome` is `delivered`, `retry`, `parked`, `dead` or `unknown`.
    Attempted {
        channel: &'static str,
        provider: &'static str,
        outcome: &'static str,
        took: Duration,
    },
    /// `end_to_end` (from the later of accept and `send_at`) is there for `delivered`.
    Finished {
        channel: &'static str,
        priority: Priority,
        status: Status,
        end_to_end: Option<Duration>,
    },
}

/// A job as it is stored.
#[derive(Clone, Debug)]
pub struct JobRecord {
    pub id: JobId,
    pub notification: JobId,
    pub channel: &'static str,
    pub priority: Priority,
    pub status: Status,
    /// Unix milliseconds: when it was, or is to be, due first.
    pub first_due: i64,
    /// Unix milliseconds: when it is due next, or when it finished.
    pub at: i64,
    pub not_after: i64,
    pub trace: TraceContext,
    /// Why it is dead or unknown, or why it waits.
    pub reason: Option<String>,
    pub attempts: Vec<AttemptRecord>,
}

/// One attempt in a job's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Unix milliseconds.
    pub at: i64,
    /// `delivered`, `retry`, `parked`, `dead`, `unknown`, or a person's `replayed`, `resolved`.
    pub outcome: String,
    pub provider: String,
    pub duration_ms: i64,
}

/// Which jobs wait for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetters {
    Dead,
    Unknown,
}

/// A person's verdict on an `unknown` job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    Dead,
}
