//! The queue's metrics: what they are, and handles made once.

use crate::{JobState, Names, Priority, Store};
use chassis_telemetry::{
    catalogue::{Label, Metric, Values, counter, gauge, histogram},
    names::{LABEL_CHANNEL, LABEL_OPERATION, LABEL_PRIORITY, LABEL_STATE, LABEL_STORE},
};
use metrics::{Counter, Gauge, Histogram};
use std::time::Duration;

const STORE: Label = (LABEL_STORE, Values::Open("a short id that is kept in the store"));
const CHANNEL: Label = (LABEL_CHANNEL, Values::Open("the service's channels"));

/// The metrics of this crate; the ledger's is made by [`ledger_metric`], since its name is the service's.
pub const METRICS: &[Metric] = &[
    gauge("queue_jobs", "Unfinished jobs by state; those that wait for a retry are scheduled.")
        .labels(&[STORE, (LABEL_STATE, Values::Closed(&["ready", "scheduled", "running"]))])
        .store_wide(),
    gauge("queue_batch_jobs_pending", "Accepted jobs of batches that are not expanded yet.")
        .labels(&[STORE])
        .store_wide(),
    gauge(
        "queue_oldest_job_age_seconds",
        "Age of the oldest unfinished job, counted from when it was first due.",
    )
    .seconds()
    .labels(&[STORE, (LABEL_PRIORITY, Values::Closed(&["urgent", "normal", "bulk"]))])
    .store_wide(),
    histogram("queue_commit_duration_seconds", "Duration of commits with their sync, by what they are for.")
        .buckets(&[
            0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
        ])
        .labels(&[STORE, (LABEL_OPERATION, Values::Closed(&["accept", "begin", "complete"]))]),
    histogram("queue_commit_rows", "Jobs in one commit, by what it is for.")
        .count()
        .buckets(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0])
        .labels(&[STORE, (LABEL_OPERATION, Values::Closed(&["accept", "begin", "complete"]))]),
    counter("queue_recovered_jobs_total", "Jobs whose attempt was interrupted by the end of its process.")
        .labels(&[STORE]),
    counter("queue_recounts_total", "Times that jobs and ledger were counted for the gauges.")
        .labels(&[STORE]),
    gauge("store_up", "1 while the store commits, 0 while it does not.").labels(&[STORE]),
    gauge("store_free_bytes", "Free bytes on the disk of the SQLite file.").bytes().labels(&[STORE]),
    gauge("workers", "Attempts that may run at once.").labels(&[CHANNEL]),
    gauge("workers_busy", "Attempts that run.").labels(&[CHANNEL]),
];

/// The ledger's gauge under the service's name, with its words for the states.
#[must_use]
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
    #[must_use]
    pub fn queued(&self) -> i64 {
        self.accepted - self.completed - self.failed - self.expired - self.cancelled - self.unknown
    }

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

/// What a commit was for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Accept,
    Begin,
    Complete,
}

#[derive(Debug)]
pub(crate) struct QueueMetrics {
    commits: [(Histogram, Histogram); 3],
    jobs: [Gauge; 3],
    pending: Gauge,
    ages: [Gauge; 3],
    ledger: [Gauge; 7],
    pub(crate) recovered: Counter,
    pub(crate) recounts: Counter,
    up: Gauge,
    free: Option<Gauge>,
    pub(crate) busy: Vec<Gauge>,
}

/// What the gauges of the whole store show.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) ready: i64,
    pub(crate) later: i64,
    pub(crate) running: i64,
    pub(crate) pending: i64,
    /// Seconds, by priority.
    pub(crate) ages: [f64; 3],
    pub(crate) ledger: Ledger,
}

impl QueueMetrics {
    pub(crate) fn new(store: &Store, names: &Names, channels: &[&'static str], workers: usize) -> Self {
        let label = store.label().to_owned();
        let labelled = |name: &'static str, key: &'static str, value: &'static str| metrics::gauge!(name, LABEL_STORE => label.clone(), key => value);
        let commit = |operation: &'static str| {
            (
                metrics::histogram!("queue_commit_duration_seconds", LABEL_STORE => label.clone(), LABEL_OPERATION => operation),
                metrics::histogram!("queue_commit_rows", LABEL_STORE => label.clone(), LABEL_OPERATION => operation),
            )
        };
        let ledger = |state: &'static str| labelled(names.ledger_metric, LABEL_STATE, state);
        let word = |state| ledger((names.state)(state));
        for channel in channels {
            metrics::gauge!("workers", LABEL_CHANNEL => *channel).set(workers as f64);
        }
        Self {
            commits: ["accept", "begin", "complete"].map(commit),
            jobs: ["ready", "scheduled", "running"].map(|state| labelled("queue_jobs", LABEL_STATE, state)),
            pending: metrics::gauge!("queue_batch_jobs_pending", LABEL_STORE => label.clone()),
            ages: Priority::ALL
                .map(|priority| labelled("queue_oldest_job_age_seconds", LABEL_PRIORITY, priority.as_str())),
            ledger: [
                ledger("accepted"),
                ledger("queued"),
                word(JobState::Completed),
                word(JobState::Failed),
                word(JobState::Expired),
                word(JobState::Cancelled),
                word(JobState::Unknown),
            ],
            recovered: metrics::counter!("queue_recovered_jobs_total", LABEL_STORE => label.clone()),
            recounts: metrics::counter!("queue_recounts_total", LABEL_STORE => label.clone()),
            up: metrics::gauge!("store_up", LABEL_STORE => label.clone()),
            free: store
                .free_bytes()
                .map(|_| metrics::gauge!("store_free_bytes", LABEL_STORE => label.clone())),
            busy: channels
                .iter()
                .map(|channel| metrics::gauge!("workers_busy", LABEL_CHANNEL => *channel))
                .collect(),
        }
    }

    pub(crate) fn committed(&self, operation: Operation, rows: usize, took: Duration) {
        if let Some((duration, count)) = self.commits.get(operation as usize).filter(|_| rows > 0) {
            duration.record(took.as_secs_f64());
            count.record(rows as f64);
        }
    }

    pub(crate) fn measure(&self, store: &Store, counts: &Counts) {
        for (gauge, jobs) in self.jobs.iter().zip([counts.ready, counts.later, counts.running]) {
            gauge.set(jobs as f64);
        }
        self.pending.set(counts.pending as f64);
        for (gauge, age) in self.ages.iter().zip(counts.ages) {
            gauge.set(age);
        }
        let Ledger { accepted, completed, failed, expired, cancelled, unknown } = counts.ledger;
        let all = [accepted, counts.ledger.queued(), completed, failed, expired, cancelled, unknown];
        for (gauge, jobs) in self.ledger.iter().zip(all) {
            gauge.set(jobs as f64);
        }
        self.up.set(if store.outage().is_none() { 1.0 } else { 0.0 });
        if let (Some(gauge), Some(bytes)) = (&self.free, store.free_bytes()) {
            gauge.set(bytes as f64);
        }
    }
}
