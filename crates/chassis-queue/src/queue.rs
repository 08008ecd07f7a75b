//! The queue: what it is built of, and how it runs and stops.

use crate::{AttemptOutcome, JobId, JobState, QueueConfig, RetryConfig, Store, StoreError, Worker};
use std::{sync::Arc, time::Duration};

/// The durable queue. Cheap to clone.
pub struct Queue<W: Worker> {
    inner: Arc<Inner<W>>,
}

struct Inner<W: Worker> {
    store: Store,
    worker: Arc<W>,
}

impl<W: Worker> Clone for Queue<W> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

/// What a queue is built of.
pub struct QueueSetup<W> {
    pub names: Names,
    /// A label each, never a person's value. Their order may change; a name that is stored may not go away.
    pub channels: &'static [&'static str],
    /// Preconditions for [`crate::Enqueue::guard`]: SQL that is true for the subject `$`, such as
    /// `EXISTS (SELECT 1 FROM account WHERE id = $ AND phone IS NOT NULL)`.
    pub guards: &'static [&'static str],
    pub config: QueueConfig,
    pub retry: RetryConfig,
    pub worker: Arc<W>,
}

/// The domain's words in telemetry.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// `messaging.system`.
    pub system: &'static str,
    /// `messaging.destination.name`; spans are `send <destination>` and `process <destination>`.
    pub destination: &'static str,
    /// The ledger's gauge.
    pub ledger_metric: &'static str,
    /// The word for a state: a label of the ledger and of lines.
    pub state: fn(JobState) -> &'static str,
    /// The word for an attempt's outcome.
    pub outcome: fn(AttemptOutcome) -> &'static str,
}

/// How far the workers are behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// How long the oldest due urgent or normal job has waited for its first attempt.
    pub waits: Duration,
    /// In how long all due jobs may be finished at the speed of the last seconds; at most 5 min.
    pub clears_in: Duration,
}

impl<W: Worker> Queue<W> {
    /// Opens the queue on a store, and recovers what a crash interrupted. It runs nothing until [`Self::run`].
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn open(store: Store, setup: QueueSetup<W>) -> Result<Self, StoreError> {
        Ok(Self { inner: Arc::new(Inner { store, worker: setup.worker }) })
    }

    /// Runs jobs until [`Self::stop`]; then finishes the attempts in hand, commits their outcomes, and ends.
    pub async fn run(&self) {
        todo!()
    }

    /// Starts no more attempts: [`Self::run`] ends once those in hand are committed. Jobs that have not started
    /// stay queued. Enqueueing still works.
    pub fn stop(&self) {
        todo!()
    }

    /// An id for a group of `jobs` jobs (or for any other row): ids rise, also across restarts and when the clock
    /// steps back.
    #[must_use]
    pub fn new_id(&self, jobs: usize) -> JobId {
        self.inner.store.new_id(jobs)
    }

    /// The store that the queue lives in.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The worker.
    #[must_use]
    pub fn worker(&self) -> &W {
        &self.inner.worker
    }

    /// How far the workers are behind.
    #[must_use]
    pub fn lag(&self) -> Lag {
        todo!()
    }

    /// Sets the gauges; to be called before each scrape.
    pub fn measure(&self) {
        todo!()
    }
}
