//! The queue's metrics: what they are, and how they are set.

use crate::{JobState, Priority, Queue, Store, Worker, queue::InHand};
use chassis_telemetry::catalogue::{Label, Metric, Values, counter, gauge, histogram};
use chassis_telemetry::names::{LABEL_CHANNEL, LABEL_OPERATION, LABEL_PRIORITY, LABEL_STATE, LABEL_STORE};
use std::time::Duration;

const STORE: Label = (LABEL_STORE, Values::Open("a short id that is kept in the store"));
const CHANNEL: Label = (LABEL_CHANNEL, Values::Open("the service's channels"));
const OPERATION: Label = (LABEL_OPERATION, Values::Closed(&["accept", "begin", "complete"]));

/// The metrics of this crate; the ledger's is made by [`ledger_metric`], since its name is the service's.
#[rustfmt::skip]
pub const METRICS: &[Metric] = &[
    gauge("queue_jobs", "Unfinished jobs by state; those that wait for a retry are scheduled.")
        .labels(&[STORE, (LABEL_STATE, Values::Closed(&["ready", "scheduled", "running"]))]).store_wide(),
    gauge("queue_batch_jobs_pending", "Accepted jobs of batches that are not expanded yet.").labels(&[STORE]).store_wide(),
    gauge("queue_oldest_job_age_seconds", "Age of the oldest unfinished job, counted from when it was first due.").seconds()
        .labels(&[STORE, (LABEL_PRIORITY, Values::Closed(&["urgent", "normal", "bulk"]))]).store_wide(),
    histogram("queue_commit_duration_seconds", "Duration of commits with their sync, by what they are for.")
        .buckets(&[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0])
        .labels(&[STORE, OPERATION]),
    histogram("queue_commit_rows", "Jobs in one commit, by what it is for.").count()
        .buckets(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0]).labels(&[STORE, OPERATION]),
    counter("queue_recovered_jobs_total", "Jobs whose attempt was interrupted by the end of its process.").labels(&[STORE]),
    counter("queue_recounts_total", "Times that jobs and ledger were counted for the gauges.").labels(&[STORE]),
    gauge("store_up", "1 while the store commits, 0 while it does not.").labels(&[STORE]),
    gauge("store_free_bytes", "Free bytes on the disk of the SQLite file.").bytes().labels(&[STORE]),
    gauge("workers", "Attempts that may run at once.").labels(&[CHANNEL]),
    gauge("workers_busy", "Attempts that run.").labels(&[CHANNEL]),
];

/// The ledger's gauge under the service's name, with its words for the states.
pub const fn ledger_metric(name: &'static str, labels: &'static [Label]) -> Metric {
    gauge(name, "Jobs since the store was made; accepted is the sum of all other states.")
        .labels(labels)
        .store_wide()
}

/// Lifetime counts; what is not in another state is queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub accepted: i64,
    pub completed: i64,
    pub failed: i64,
    pub expired: i64,
    pub cancelled: i64,
    pub unknown: i64,
}

impl Ledger {
    /// Counts `jobs` more (or fewer) in a final state.
    pub(crate) fn add(&mut self, state: JobState, jobs: i64) {
        let counted = match state {
            JobState::Completed => &mut self.completed,
            JobState::Failed => &mut self.failed,
            JobState::Expired => &mut self.expired,
            JobState::Cancelled => &mut self.cancelled,
            JobState::Unknown => &mut self.unknown,
            JobState::Accepted | JobState::Retrying | JobState::Running => return,
        };
        *counted += jobs;
    }
}

/// What the store held at the last recount.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) ready: i64,
    pub(crate) later: i64,
    pub(crate) running: i64,
    pub(crate) pending: i64,
    /// Seconds, by priority.
    pub(crate) ages: [f64; 3],
    /// How long the oldest due urgent or normal job has waited for its first attempt.
    pub(crate) waits: Duration,
    pub(crate) ledger: Ledger,
}

/// Records a commit of so many jobs.
pub(crate) fn committed(store: &Store, operation: &'static str, jobs: usize, took: Duration) {
    if jobs > 0 {
        let store = store.label().to_owned();
        metrics::histogram!("queue_commit_duration_seconds", LABEL_STORE => store.clone(), LABEL_OPERATION => operation)
            .record(took);
        metrics::histogram!("queue_commit_rows", LABEL_STORE => store, LABEL_OPERATION => operation)
            .record(jobs as f64);
    }
}

/// Counts jobs whose attempt was interrupted.
pub(crate) fn recovered(store: &Store, jobs: usize) {
    metrics::counter!("queue_recovered_jobs_total", LABEL_STORE => store.label().to_owned())
        .increment(jobs as u64);
}

impl<W: Worker> Queue<W> {
    /// Sets the gauges; to be called before each scrape.
    pub fn measure(&self) {
        let core = &self.core;
        let Counts { ready, later, running, pending, ages, ledger, .. } = *core.counts.lock();
        let (store, word) = (|| core.store.label().to_owned(), core.setup.names.state);
        let set = |name: &'static str, label: &'static str, value: &'static str, number: f64| {
            metrics::gauge!(name, LABEL_STORE => store(), label => value).set(number);
        };
        set("queue_jobs", LABEL_STATE, "ready", ready as f64);
        set("queue_jobs", LABEL_STATE, "scheduled", later as f64);
        set("queue_jobs", LABEL_STATE, "running", running as f64);
        for (priority, age) in Priority::ALL.iter().zip(ages) {
            set("queue_oldest_job_age_seconds", LABEL_PRIORITY, priority.as_str(), age);
        }
        for (state, jobs) in [
            ("accepted", ledger.accepted),
            // Counted, not calculated: it is the other side of the balance.
            ("queued", ready + later + running),
            (word(JobState::Completed), ledger.completed),
            (word(JobState::Failed), ledger.failed),
            (word(JobState::Expired), ledger.expired),
            (word(JobState::Cancelled), ledger.cancelled),
            (word(JobState::Unknown), ledger.unknown),
        ] {
            set(core.setup.names.ledger_metric, LABEL_STATE, state, jobs as f64);
        }
        metrics::gauge!("queue_batch_jobs_pending", LABEL_STORE => store()).set(pending as f64);
        let up = if core.store.outage().is_none() { 1.0 } else { 0.0 };
        metrics::gauge!("store_up", LABEL_STORE => store()).set(up);
        if let Some(bytes) = core.store.free_bytes() {
            metrics::gauge!("store_free_bytes", LABEL_STORE => store()).set(bytes as f64);
        }
        for channel in core.setup.channels {
            let busy = |job: &&InHand| job.channel == *channel && !job.sync;
            let busy = core.in_hand.lock().values().filter(busy).count();
            metrics::gauge!("workers", LABEL_CHANNEL => *channel).set(core.setup.config.workers as f64);
            metrics::gauge!("workers_busy", LABEL_CHANNEL => *channel).set(busy as f64);
        }
        recovered(&core.store, 0);
    }
}
