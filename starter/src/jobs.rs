//! What the queue runs. Each kind of job has a channel, and with it workers, of its own: a slow kind takes none from another.
//! When an attempt is made, repeated or given up is decided by the queue.

use crate::example;
use chassis_queue::{Attempt, AttemptOutcome, Fact, JobState, Names, Report, Worker, ledger_metric};
use chassis_resilience::Feature;
use chassis_telemetry::catalogue::{Label, Metric, Values, counter};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// A job, as it is stored in JSON: a release must read what the release before it wrote.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Job {
    Example(example::Example),
}

/// The channels, one for each kind.
pub const CHANNELS: &[&str] = &[
    // In any order.
    example::CHANNEL,
];

/// Runs every kind of job.
pub struct Work;

/// The durable queue.
pub type Queue = chassis_queue::Queue<Work>;

/// Accepting jobs is refused under overload.
pub const ACCEPT: Feature = Feature { name: "jobs", level: 3 };

/// The queue's words in spans, lines and metrics.
pub const NAMES: Names = Names {
    system: env!("CARGO_PKG_NAME"),
    destination: "jobs",
    ledger_metric: "jobs_ledger",
    state: |state| state_word(state),
    outcome: |outcome| outcome_word(outcome),
};

impl Worker for Work {
    type Job = Job;

    async fn run(&self, job: &Job, attempt: &Attempt) -> Report {
        let started = Instant::now();
        let outcome = match job {
            Job::Example(job) => example::run(job, attempt).await,
        };
        Report { outcome, provider: "none", took: started.elapsed() }
    }

    /// Counts what has been committed.
    fn observe(&self, fact: &Fact) {
        match *fact {
            Fact::Accepted { channel, jobs, .. } => {
                metrics::counter!(ACCEPTED.name, "channel" => channel).increment(jobs as u64);
            }
            Fact::Finished { channel, state, .. } => {
                let outcome = state_word(state);
                metrics::counter!(FINISHED.name, "channel" => channel, "outcome" => outcome).increment(1);
            }
            Fact::Attempted { .. } => {}
        }
    }
}

const CHANNEL: Label = ("channel", Values::Closed(CHANNELS));
const STORE: Label = ("store", Values::Open("a short id that is kept in the store"));
const ENDS: &[&str] = &["completed", "failed", "expired", "cancelled", "unknown"];
const LEDGER: Label = (
    "state",
    Values::Closed(&["accepted", "completed", "failed", "expired", "cancelled", "unknown", "queued"]),
);

const ACCEPTED: Metric = counter("jobs_accepted_total", "Accepted jobs, counted once they are committed.")
    .labels(&[CHANNEL])
    .from_zero();
const FINISHED: Metric = counter("jobs_finished_total", "Jobs that reached their last state.")
    .labels(&[CHANNEL, ("outcome", Values::Closed(ENDS))])
    .from_zero();

pub const METRICS: &[Metric] = &[ACCEPTED, FINISHED, ledger_metric(NAMES.ledger_metric, &[STORE, LEDGER])];

fn state_word(state: JobState) -> &'static str {
    match state {
        JobState::Accepted => "accepted",
        JobState::Retrying => "retrying",
        JobState::Running => "running",
        JobState::Completed => "completed",
        JobState::Failed => "failed",
        JobState::Expired => "expired",
        JobState::Cancelled => "cancelled",
        JobState::Unknown => "unknown",
    }
}

fn outcome_word(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Completed => "completed",
        AttemptOutcome::Retry => "retry",
        AttemptOutcome::Snoozed => "snoozed",
        AttemptOutcome::Failed => "failed",
        AttemptOutcome::Unknown => "unknown",
        AttemptOutcome::Replayed => "replayed",
        AttemptOutcome::ResolvedCompleted => "resolved_completed",
        AttemptOutcome::ResolvedFailed => "resolved_failed",
    }
}
