//! Jobs, workers, attempts and their outcomes.

use crate::{JobId, StoreError};
use chassis_telemetry::TraceContext;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
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

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
        }
    }

    pub(crate) fn from_stored(number: i64) -> Result<Self, StoreError> {
        let found = usize::try_from(number).ok().and_then(|number| Self::ALL.get(number).copied());
        found.ok_or_else(|| StoreError::Statement(format!("priority {number} is not one of this release")))
    }
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

/// Whether jobs are committed as waiting, or as running already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Now,
    Later,
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

impl AttemptOutcome {
    const STORED: [(Self, &str); 8] = [
        (Self::Completed, "completed"),
        (Self::Retry, "retry"),
        (Self::Snoozed, "snoozed"),
        (Self::Failed, "failed"),
        (Self::Unknown, "unknown"),
        (Self::Replayed, "replayed"),
        (Self::ResolvedCompleted, "resolved_completed"),
        (Self::ResolvedFailed, "resolved_failed"),
    ];

    fn stored(self) -> &'static str {
        Self::STORED.iter().find(|(outcome, _)| *outcome == self).map_or("unknown", |(_, word)| word)
    }

    fn from_stored(word: &str) -> Option<Self> {
        Self::STORED.iter().find(|(_, stored)| *stored == word).map(|(outcome, _)| *outcome)
    }
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
    /// What the provider gave for a completed attempt.
    pub receipt: Option<String>,
}

/// Entries that a job's history keeps; older ones make room.
const HISTORY: usize = 64;

impl AttemptRecord {
    /// Reads a stored history; entries that this release does not know are left out.
    pub(crate) fn history(stored: &str) -> Vec<Self> {
        type Entry = (i64, String, String, i64, Option<String>);
        let entries = serde_json::Deserializer::from_str(stored).into_iter::<Entry>().map_while(Result::ok);
        let record = |(at, outcome, provider, duration_ms, receipt): Entry| {
            let outcome = AttemptOutcome::from_stored(&outcome)?;
            Some(Self { at, outcome, provider, duration_ms, receipt })
        };
        entries.filter_map(record).collect()
    }

    /// The stored form of a history with this entry at its end. A run of snoozes keeps its last one.
    pub(crate) fn append_to(&self, stored: &str) -> String {
        self.append(Self::history(stored))
    }

    pub(crate) fn append(&self, mut all: Vec<Self>) -> String {
        if self.outcome == AttemptOutcome::Snoozed {
            all.pop_if(|last| last.outcome == AttemptOutcome::Snoozed);
        }
        all.push(self.clone());
        all.iter().skip(all.len().saturating_sub(HISTORY)).map(Self::stored).collect()
    }

    fn stored(&self) -> String {
        serde_json::json!([self.at, self.outcome.stored(), self.provider, self.duration_ms, self.receipt])
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: i64, outcome: AttemptOutcome) -> AttemptRecord {
        AttemptRecord { at, outcome, provider: "p".to_owned(), duration_ms: 1, receipt: None }
    }

    #[test]
    fn a_history_is_read_back_and_stays_short() {
        let mut stored = String::new();
        for at in 0..200 {
            let outcome = if at % 3 == 0 { AttemptOutcome::Retry } else { AttemptOutcome::Snoozed };
            stored = entry(at, outcome).append_to(&stored);
        }
        let history = AttemptRecord::history(&stored);
        assert_eq!(history.len(), HISTORY);
        assert_eq!(history.last(), Some(&entry(199, AttemptOutcome::Snoozed)));
        assert!(history.windows(2).all(|pair| pair[0].outcome != pair[1].outcome));
    }
}
