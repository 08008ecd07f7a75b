//! Jobs, workers, attempts and their outcomes.

use crate::{JobId, Result, StoreError, queue::Core};
use chassis_telemetry::TraceContext;
use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{future::Future, time::Duration};

/// Runs jobs. What a job means is the implementor's.
pub trait Worker: Send + Sync + 'static {
    /// Stored as JSON: a release must read what the release before it wrote.
    type Job: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Makes one attempt, in a bounded time. Runs inside the attempt's CONSUMER span; a panic is an unknown outcome.
    fn run(&self, job: &Self::Job, attempt: &Attempt) -> impl Future<Output = Report> + Send;

    /// Whether no attempt of this channel would be made now, as while a circuit breaker is open. Its due jobs stay
    /// where they are; asked again within a quarter of a second.
    fn paused(&self, _channel: &'static str) -> bool {
        false
    }

    /// Counts what has been committed.
    fn observe(&self, _fact: &Fact) {}
}

/// How soon a job is taken when others wait: weighted 16:4:1, so that none starves another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Priority {
    Urgent,
    Normal,
    Bulk,
}

impl Priority {
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Normal, Self::Bulk];

    pub fn as_str(self) -> &'static str {
        ["urgent", "normal", "bulk"][self as usize]
    }

    pub(crate) fn from_stored(number: i64) -> Result<Self> {
        let found = usize::try_from(number).ok().and_then(|number| Self::ALL.get(number).copied());
        found.ok_or_else(|| StoreError::Statement(format!("priority {number} is not one of this release")))
    }
}

/// Where a job is in its life. The numbers are stored; accepted jobs with a `run_at` have 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobState {
    /// Waits for its first attempt.
    Accepted = 2,
    /// Waits for another attempt.
    Retrying = 4,
    /// An attempt has started.
    Running = 5,
    Completed = 6,
    Failed = 7,
    /// Its `not_after` passed before an attempt.
    Expired = 8,
    Cancelled = 9,
    /// It may have taken effect; a person decides.
    Unknown = 10,
}

/// Accepted with a `run_at`, which follows the wall clock.
pub(crate) const SCHEDULED: i64 = 3;

impl JobState {
    /// Whether nothing more happens by itself.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Accepted | Self::Retrying | Self::Running)
    }

    pub(crate) fn from_stored(number: i64) -> Result<Self> {
        use JobState::{Accepted, Cancelled, Completed, Expired, Failed, Retrying, Running, Unknown};
        let all = [Accepted, Retrying, Running, Completed, Failed, Expired, Cancelled, Unknown];
        let number = if number == SCHEDULED { Accepted as i64 } else { number };
        let found = all.into_iter().find(|state| *state as i64 == number);
        found.ok_or_else(|| StoreError::Statement(format!("state {number} is not one of this release")))
    }
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
    /// `receipt` is kept in the job's history.
    Completed { receipt: Option<String> },
    /// It took no effect; repeat it. `after` (at most an hour) replaces the backoff.
    Retry { reason: &'static str, after: Option<Duration> },
    /// As `Retry`, but not the job's fault: costs no attempt.
    Snooze { reason: &'static str, after: Option<Duration> },
    /// Permanent.
    Failed { reason: &'static str },
    /// It may or may not have taken effect.
    Unknown { reason: &'static str },
}

/// How an attempt, or a person's decision, stands in a job's history and in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// When it is due next, started or finished.
    pub at: i64,
    pub not_after: i64,
    pub trace: TraceContext,
    /// Why it failed, is unknown, or waits.
    pub reason: Option<String>,
    pub attempts: Vec<AttemptRecord>,
    /// The job's JSON, as it was enqueued.
    pub payload: String,
    /// Attempts, without snoozed ones.
    pub(crate) spent: u32,
    /// Attempts of unknown outcome.
    pub(crate) unknowns: u32,
    /// The caller waits.
    pub(crate) sync: bool,
    /// The process that runs it.
    pub(crate) worker: i64,
    /// The attempt before.
    pub(crate) last_trace: Option<TraceContext>,
}

/// An entry of a job's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Unix milliseconds.
    pub at: i64,
    pub outcome: AttemptOutcome,
    pub provider: String,
    pub duration_ms: i64,
    /// What the provider gave for a completed attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
}

/// Entries that a job's history keeps; older ones make room.
const HISTORY: usize = 64;

/// A job as it is read: the values of `sql::COLUMNS`.
#[derive(Deserialize)]
pub(crate) struct Stored<'a> {
    id: i64,
    part: i64,
    batch: i64,
    channel: &'a str,
    priority: i64,
    state: i64,
    accepted_at: i64,
    first_due: i64,
    at: i64,
    not_after: i64,
    trace: &'a str,
    reason: Option<String>,
    history: String,
    payload: String,
    spent: u32,
    unknowns: u32,
    sync: u8,
    worker: i64,
    last_trace: Option<&'a str>,
}

impl Stored<'_> {
    pub(crate) fn record<W: Worker>(self, core: &Core<W>) -> Result<JobRecord> {
        let context = |digits: &str| {
            let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?;
            TraceContext::from_bytes(&bytes)
        };
        Ok(JobRecord {
            id: JobId(self.id),
            group: JobId(self.id - self.part),
            batch: (self.batch != 0).then_some(JobId(self.batch)),
            channel: core.channel(self.channel)?,
            priority: Priority::from_stored(self.priority)?,
            state: JobState::from_stored(self.state)?,
            trace: context(self.trace).unwrap_or_else(TraceContext::new_root),
            attempts: serde_json::from_str(&self.history).unwrap_or_default(),
            sync: self.sync == 1,
            last_trace: self.last_trace.and_then(context),
            accepted_at: self.accepted_at,
            first_due: self.first_due,
            at: self.at,
            not_after: self.not_after,
            reason: self.reason,
            payload: self.payload,
            spent: self.spent,
            unknowns: self.unknowns,
            worker: self.worker,
        })
    }
}

impl JobRecord {
    /// Its history, with another entry if there is one, as it is stored. A run of snoozes keeps its last one.
    pub(crate) fn history_with(&self, entry: Option<&AttemptRecord>) -> String {
        let mut all: Vec<&AttemptRecord> = self.attempts.iter().collect();
        if entry.is_some_and(|entry| entry.outcome == AttemptOutcome::Snoozed) {
            all.pop_if(|last| last.outcome == AttemptOutcome::Snoozed);
        }
        all.extend(entry);
        let kept = all.get(all.len().saturating_sub(HISTORY)..).unwrap_or_default();
        serde_json::to_string(kept).unwrap_or_else(|_| "[]".to_owned())
    }
}
