//! What the queue tells: store-wide gauges, set from one moment's counts when they are scraped.

use super::{Priority, State};
use crate::platform::{
    store::{Ledger, LedgerState},
    telemetry::names,
    time::now_ms,
};
use metrics::{Counter, Gauge, counter, gauge};

pub(super) struct QueueMetrics {
    ready: Gauge,
    scheduled: Gauge,
    running: Gauge,
    ages: [Gauge; 3],
    ledger: [Gauge; 7],
    unexpanded: Gauge,
    recovered: Counter,
    busy: Gauge,
}

impl QueueMetrics {
    pub(super) fn new(workers: usize) -> Self {
        let state = |state: &'static str| gauge!(names::QUEUE_JOBS, names::LABEL_STATE => state);
        gauge!(names::WORKERS).set(workers as f64);
        Self {
            ready: state("ready"),
            scheduled: state("scheduled"),
            running: state("running"),
            ages: Priority::ALL
                .map(|of| gauge!(names::QUEUE_OLDEST_JOB_AGE, names::LABEL_PRIORITY => of.as_str())),
            ledger: LedgerState::ALL
                .map(|of| gauge!(names::NOTIFICATION_LEDGER_JOBS, names::LABEL_STATE => of.as_str())),
            unexpanded: gauge!(names::QUEUE_BATCH_JOBS_PENDING),
            recovered: counter!(names::QUEUE_RECOVERED_JOBS),
            busy: gauge!(names::WORKERS_BUSY),
        }
    }

    pub(super) fn recovered(&self, jobs: u64) {
        self.recovered.increment(jobs);
    }

    /// A worker takes a delivery in hand, until the returned guard is dropped.
    pub(super) fn work(&self) -> Busy {
        self.busy.increment(1.0);
        Busy(self.busy.clone())
    }

    pub(super) fn measure(&self, state: &State, ledger: &Ledger) {
        let counts = state.book.counts();
        self.ready.set(counts.ready as f64);
        self.scheduled.set(counts.scheduled as f64);
        self.running.set(counts.running as f64);
        self.unexpanded.set(state.batches.jobs() as f64);
        let now = now_ms();
        for (of, gauge) in Priority::ALL.into_iter().zip(&self.ages) {
            let batch = state.batches.oldest(of, now);
            let oldest =
                [state.lanes.head(of), state.book.oldest_attempted(of), batch].into_iter().flatten().min();
            gauge.set(oldest.map_or(0.0, |due| (now - due).max(0) as f64 / 1000.0));
        }
        for (of, gauge) in LedgerState::ALL.into_iter().zip(&self.ledger) {
            gauge.set(ledger.get(of) as f64);
        }
    }
}

/// Counts a busy worker while it lives.
pub(super) struct Busy(Gauge);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
