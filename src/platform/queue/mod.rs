//! Durable jobs over the store: the interface that a domain uses. What a job means is the domain's.
//!
//! `submit` and `people` write through the store's committer, `outbox` into somebody else's transaction;
//! `dispatch` takes what is due by weight and `worker` attempts it; `fan_out` and `expand` make many jobs of
//! one batch; `recover` and `housekeeping` keep the store tidy around them.

mod batch;
mod book;
pub mod config;
mod dispatch;
mod expand;
mod fan_out;
mod housekeeping;
mod idempotency;
mod lanes;
mod metrics;
mod model;
mod outbox;
mod pending;
mod people;
mod places;
mod recover;
mod retry;
mod schema;
mod sql;
mod submit;
mod worker;

pub use batch::{Batch, BatchRecord, Members, Payloads};
pub use model::{
    AnswerOf, Attempt, AttemptRecord, DeadLetters, Fact, Handler, Job, JobRecord, Outcome, Priority, Refused,
    Status, Submission, Submitted, Verdict,
};
pub use outbox::Outgoing;
pub use schema::SCHEMA;
pub use submit::Precondition;

pub use crate::platform::{
    id::{NotAnId, RowId as JobId},
    store::{Answer, IdempotencyKey},
};

use crate::platform::{id::IdMaker, store::Store, time::now_ms};
use book::{Book, Bounds};
use config::QueueConfig;
use futures_util::future::BoxFuture;
use lanes::Lanes;
use parking_lot::Mutex;
use pending::Batches;
use places::Places;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The durable queue. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    config: QueueConfig,
    channels: &'static [&'static str],
    handler: Box<dyn Deliver>,
    ids: IdMaker,
    state: Mutex<State>,
    /// Something may be ready to be taken, or due at another time than was thought.
    wake: Notify,
    /// A batch may have become due.
    unexpanded: Notify,
    /// Deliveries in flight.
    places: Places,
    /// Synchronous deliveries in flight.
    sync_slots: Arc<Semaphore>,
    /// Attempts whose end is not committed yet.
    unfinished: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
    metrics: metrics::QueueMetrics,
}

/// How far behind the workers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// How long the longest due job has waited for its first attempt; what waits for a retry is not late by us.
    pub waits: Duration,
    /// In how long all that is due may be finished, at the speed of the last seconds; at most 5 min.
    pub clears_in: Duration,
}

/// What changes in the order of the commits.
struct State {
    lanes: Lanes,
    book: Book,
    batches: Batches,
    /// Unix ms up to which waiting jobs have been counted as due.
    due_until: i64,
    /// Unix ms when a waiting job is due next, as far as is known.
    next_due: Option<i64>,
    /// A commit was uncertain: the counts have to be taken from the store again.
    doubtful: bool,
}

/// [`Handler`] behind a pointer.
trait Deliver: Send + Sync {
    fn attempt<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Attempt>;
    fn expand(&self, template: &[u8], members: &[u8]) -> Option<Vec<Payloads>>;
    fn observe(&self, fact: &Fact);
}

impl<H: Handler> Deliver for Arc<H> {
    fn attempt<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Attempt> {
        Box::pin(H::attempt(self, job))
    }
    fn expand(&self, template: &[u8], members: &[u8]) -> Option<Vec<Payloads>> {
        H::expand(self, template, members)
    }
    fn observe(&self, fact: &Fact) {
        H::observe(self, fact);
    }
}

impl Queue {
    /// A queue over `store`, whose schemas have to include [`SCHEMA`]. It has recovered what a crash
    /// interrupted, and delivers nothing until [`Self::start`].
    ///
    /// # Errors
    /// The store can't be read or written.
    pub async fn open<H: Handler>(
        store: Store,
        config: QueueConfig,
        channels: &'static [&'static str],
        handler: Arc<H>,
    ) -> Result<Self, crate::platform::store::WriteError> {
        let found = recover::recover(&store, &config, channels).await?;
        let bounds = Bounds { backlog: config.max_backlog, scheduled: config.max_scheduled };
        let workers = config.workers;
        let inner = Inner {
            store,
            channels,
            handler: Box::new(handler),
            ids: IdMaker::new(found.highest),
            state: Mutex::new(found.state(Book::new(bounds))),
            wake: Notify::new(),
            unexpanded: Notify::new(),
            places: Places::new(workers),
            sync_slots: Arc::new(Semaphore::new(workers)),
            unfinished: Arc::new(Semaphore::new(4 * workers + 64)),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            metrics: metrics::QueueMetrics::new(workers),
            config,
        };
        inner.metrics.recovered(found.recovered);
        found.ended.iter().for_each(|fact| inner.handler.observe(fact));
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Begins to deliver. The returned future is the dispatcher: it ends after [`Self::stop`].
    pub fn start(&self) -> impl Future<Output = ()> + Send + use<> {
        let queue = self.clone();
        queue.inner.tasks.spawn(housekeeping::run(queue.clone()));
        queue.inner.tasks.spawn(expand::run(queue.clone()));
        dispatch::run(queue)
    }

    /// Begins no more attempts; those in hand are finished and committed when this returns. What has
    /// not begun stays queued.
    pub async fn stop(&self) {
        self.inner.stop.cancel();
        self.inner.wake.notify_one();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// How far the workers are behind, urgent and normal jobs alone: bulk is old by nature.
    pub fn lag(&self) -> Lag {
        let now = now_ms();
        let state = self.inner.state.lock();
        let first = |of| [state.lanes.first_unattempted(of), state.batches.oldest(of, now)];
        let due = [Priority::Urgent, Priority::Normal].into_iter().flat_map(first).flatten().min();
        let waits = due.map_or(Duration::ZERO, |due| Duration::from_millis((now - due).max(0) as u64));
        Lag { waits, clears_in: state.book.room_in(state.book.counts().ready) }
    }

    /// Sets the gauges from one moment's counts.
    pub fn measure(&self) {
        self.inner.metrics.measure(&self.inner.state.lock(), &self.inner.store.ledger());
    }
}
