//! What is done behind the answers: queue, store and workers.

use super::{Label, Metric, PRIORITY, Unit, Values, counter, gauge, histogram, names};

const OPERATION: Label = (names::LABEL_OPERATION, Values::Closed(&["accept", "begin", "complete"]));
const LOOKUP: Label = (names::LABEL_OUTCOME, Values::Closed(&["in_place", "on_thread"]));
/// Not every histogram is of durations.
const COMMIT_ROWS: Metric = Metric {
    unit: Unit::Count,
    ..histogram(names::QUEUE_COMMIT_ROWS, "Writes in one commit, by what they are for.")
};

pub(super) const METRICS: &[Metric] = &[
    gauge(names::QUEUE_JOBS, "Unfinished jobs.")
        .labels(&[(names::LABEL_STATE, Values::Closed(&["ready", "scheduled", "running"]))])
        .store_wide(),
    gauge(
        names::QUEUE_BATCH_JOBS_PENDING,
        "Jobs of accepted batches that are still to be made; they are part of queue_jobs.",
    )
    .store_wide(),
    gauge(names::QUEUE_OLDEST_JOB_AGE, "Time since the longest-due job was due.")
        .seconds()
        .labels(&[PRIORITY])
        .store_wide(),
    histogram(names::QUEUE_COMMIT_DURATION, "Commits with their sync, by what they are for.")
        .labels(&[OPERATION]),
    COMMIT_ROWS.labels(&[OPERATION]),
    counter(names::QUEUE_RECOVERED_JOBS, "Jobs found at start in an attempt that a crash had cut off."),
    counter(
        names::STORE_LOOKUPS,
        "Look-ups by key in the store: in place, on the worker that answers the request, or on a reading thread, \
         where the store is slow or other workers look up.",
    )
    .labels(&[LOOKUP]),
    gauge(names::STORE_UP, "Whether the store can commit: 1 or 0."),
    gauge(names::STORE_FREE_BYTES, "Free space where the store lives.").bytes(),
    gauge(names::WORKERS, "Deliveries that may be in flight at once."),
    gauge(names::WORKERS_BUSY, "Deliveries in flight."),
];
