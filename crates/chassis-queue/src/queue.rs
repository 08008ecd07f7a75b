//! The queue: what it is built of, and how it runs and stops.

use crate::{
    AttemptOutcome, JobId, JobState, Priority, QueueConfig, RetryConfig, Store, StoreError, Worker,
    backlog::Backlog,
    commit::{self, Pending},
    metrics::{Counts, Ledger, QueueMetrics},
    sql::Statements,
    store::{Dialect, Tx},
};
use chassis_telemetry::{SpanExt as _, TraceContext};
use parking_lot::Mutex;
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64},
    },
    time::Duration,
};
use tokio::sync::{Notify, RwLock, RwLockReadGuard, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{Span, field::Empty, span::Id};

/// Rows of the ledger that one process writes: one for each committer, one for attempts, one for the rest.
const SLOTS: i64 = 8;
/// Committers on PostgreSQL, whose commits run beside each other.
const COMMITTERS: i64 = 4;

/// The durable queue. Cheap to clone.
pub struct Queue<W: Worker> {
    pub(crate) core: Arc<Core<W>>,
    /// To the committers.
    pub(crate) accept: mpsc::Sender<Pending<W::Job>>,
}

/// What the queue's parts share.
pub(crate) struct Core<W: Worker> {
    pub(crate) store: Store,
    pub(crate) worker: Arc<W>,
    pub(crate) names: Names,
    pub(crate) channels: &'static [&'static str],
    pub(crate) config: QueueConfig,
    pub(crate) retry: RetryConfig,
    pub(crate) sql: Statements,
    pub(crate) metrics: QueueMetrics,
    pub(crate) backlog: Arc<Backlog>,
    /// Held for reading from a commit until the backlog knows of it, and for writing while a recount begins.
    pub(crate) counting: RwLock<()>,
    pub(crate) counts: Mutex<Counts>,
    pub(crate) lag: Mutex<Duration>,
    /// This process among those that run jobs: the fence.
    pub(crate) identity: AtomicI64,
    /// Jobs that this process runs.
    pub(crate) in_hand: Mutex<HashSet<i64>>,
    /// A commit was uncertain: jobs may be running under our identity that we do not know of.
    pub(crate) doubt: AtomicBool,
    /// `run_now` calls in flight, by channel.
    pub(crate) sync_slots: Vec<Arc<Semaphore>>,
    /// A batch was accepted.
    pub(crate) unexpanded: Notify,
    /// Jobs were committed that another process may run.
    pub(crate) announce: Notify,
    /// There are other processes.
    pub(crate) has_peers: AtomicBool,
    pub(crate) stop: CancellationToken,
    first_slot: i64,
}

impl<W: Worker> Clone for Queue<W> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), accept: self.accept.clone() }
    }
}

/// What a queue is built of.
pub struct QueueSetup<W> {
    pub names: Names,
    /// A label each, never a person's value. A name that is stored may not go away.
    pub channels: &'static [&'static str],
    /// Preconditions for [`crate::Enqueue::guard`]: SQL that is true for the text `{subject}`, such as
    /// `EXISTS (SELECT 1 FROM account WHERE id = {subject} AND phone IS NOT NULL)`.
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

/// What a span says of the jobs that it is about.
pub(crate) struct Message {
    pub(crate) id: JobId,
    pub(crate) channel: &'static str,
    pub(crate) priority: Priority,
    pub(crate) jobs: usize,
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
        let core = Arc::new(Core::new(store, setup));
        core.register().await?;
        core.recover_all().await?;
        core.count().await?;
        core.check_ledger();
        let committers = if core.store.dialect() == Dialect::Sqlite { 1 } else { COMMITTERS };
        let accept = commit::spawn(&core, committers);
        Ok(Self { core, accept })
    }

    /// Runs jobs until [`Self::stop`]; then finishes the attempts in hand, commits their outcomes, and ends.
    pub async fn run(&self) {
        let core = &self.core;
        let upkeep = async {
            tokio::join!(
                core.store.tend(),
                core.keep_counting(),
                core.expand(),
                core.clear(),
                core.keep_lease(),
                core.announce(),
                core.listen()
            );
        };
        tokio::select! {
            () = self.dispatch() => {}
            _ = upkeep => {}
        }
    }

    /// Starts no more attempts: [`Self::run`] ends once those in hand are committed. Jobs that have not started
    /// stay queued. Enqueueing still works.
    pub fn stop(&self) {
        self.core.stop.cancel();
    }

    /// An id for a group of `jobs` jobs (or for any other row): ids rise, also across restarts and when the clock
    /// steps back.
    #[must_use]
    pub fn new_id(&self, jobs: usize) -> JobId {
        self.core.store.new_id(jobs)
    }

    /// The store that the queue lives in.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.core.store
    }

    /// The worker.
    #[must_use]
    pub fn worker(&self) -> &W {
        &self.core.worker
    }

    /// How far the workers are behind.
    #[must_use]
    pub fn lag(&self) -> Lag {
        Lag { waits: *self.core.lag.lock(), clears_in: self.core.backlog.clears_in() }
    }

    /// The lifetime counts of the last recount, which is less than a second old in a store of usual size.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.core.counts.lock().ledger
    }

    /// Sets the gauges; to be called before each scrape.
    pub fn measure(&self) {
        self.core.metrics.measure(&self.core.store, &self.core.counts.lock());
    }
}

impl<W: Worker> Core<W> {
    fn new(store: Store, setup: QueueSetup<W>) -> Self {
        let QueueSetup { names, channels, guards, config, retry, worker } = setup;
        let slots = || Arc::new(Semaphore::new(config.workers));
        let first_slot = match store.dialect() {
            Dialect::Sqlite => 0,
            Dialect::Postgres => store.instance() % 128 * SLOTS,
        };
        Self {
            sql: Statements::new(store.dialect(), guards),
            metrics: QueueMetrics::new(&store, &names, channels, config.workers),
            backlog: Arc::new(Backlog::new(&config)),
            counting: RwLock::default(),
            counts: Mutex::default(),
            has_peers: AtomicBool::default(),
            lag: Mutex::default(),
            identity: AtomicI64::default(),
            in_hand: Mutex::default(),
            doubt: AtomicBool::default(),
            sync_slots: channels.iter().map(|_| slots()).collect(),
            unexpanded: Notify::new(),
            announce: Notify::new(),
            stop: CancellationToken::new(),
            first_slot,
            store,
            worker,
            names,
            channels,
            config,
            retry,
        }
    }

    /// A row of the ledger that no other committer of any process waits for.
    pub(crate) fn slot(&self, nth: i64) -> i64 {
        match self.store.dialect() {
            Dialect::Sqlite => 0,
            Dialect::Postgres => self.first_slot + nth,
        }
    }

    /// The row that transactions besides the committers write.
    pub(crate) fn shared_slot(&self) -> i64 {
        self.slot(SLOTS - 1)
    }

    /// Begins a transaction that changes how many jobs are unfinished; the guard is kept until the backlog knows.
    pub(crate) async fn begin(&self) -> Result<(Tx, RwLockReadGuard<'_, ()>), StoreError> {
        // Before the transaction: who waits for a recount must not hold the one writer.
        let counting = self.counting.read().await;
        Ok((self.store.begin().await?, counting))
    }

    /// Makes the rows of the ledger that this process writes.
    pub(crate) async fn make_slots(&self, tx: &mut Tx) -> Result<(), sqlx::Error> {
        const SQL: &str =
            "INSERT INTO ledger (slot, accepted, completed, failed, expired, cancelled, unknown)
            VALUES ($1, 0, 0, 0, 0, 0, 0) ON CONFLICT (slot) DO NOTHING";
        for nth in 0..SLOTS {
            sqlx::query(SQL).bind(self.slot(nth)).execute(&mut **tx).await?;
        }
        Ok(())
    }

    /// Adds to the ledger in its own transaction.
    pub(crate) async fn write_ledger(&self, tx: &mut Tx, more: &Ledger) -> Result<(), sqlx::Error> {
        const SQL: &str =
            "UPDATE ledger SET accepted = accepted + $1, completed = completed + $2, failed = failed + $3,
            expired = expired + $4, cancelled = cancelled + $5, unknown = unknown + $6 WHERE slot = $7";
        if *more == Ledger::default() {
            return Ok(());
        }
        let query =
            sqlx::query(SQL).bind(more.accepted).bind(more.completed).bind(more.failed).bind(more.expired);
        query
            .bind(more.cancelled)
            .bind(more.unknown)
            .bind(self.shared_slot())
            .execute(&mut **tx)
            .await
            .map(drop)
    }

    /// A span of the messaging conventions: `send` and `create` are PRODUCERs, `process` is a CONSUMER.
    pub(crate) fn message_span(&self, operation: &'static str, parent: Option<Id>, of: &Message) -> Span {
        tracing::info_span!(
            parent: parent,
            "message",
            otel.name = format_args!("{operation} {}", self.names.destination),
            otel.kind = if operation == "process" { "consumer" } else { "producer" },
            otel.status_code = Empty,
            messaging.system = self.names.system,
            messaging.operation.name = operation,
            messaging.operation.type = operation,
            messaging.destination.name = self.names.destination,
            messaging.message.id = %of.id,
            messaging.batch.message_count = (of.jobs > 1).then_some(of.jobs as i64),
            channel = of.channel,
            priority = of.priority.as_str(),
            job_id = Empty,
            attempt = Empty,
            outcome = Empty,
            waited_ms = Empty,
            committed_ms = Empty,
        )
    }

    /// The service's constant for a stored channel.
    pub(crate) fn channel(&self, name: &str) -> Result<&'static str, StoreError> {
        let found = self.channels.iter().copied().find(|channel| *channel == name);
        found.ok_or_else(|| StoreError::Statement(format!("channel {name} is not one of this release")))
    }

    pub(crate) fn channel_index(&self, name: &str) -> usize {
        self.channels.iter().position(|channel| *channel == name).unwrap_or_default()
    }
}

/// Links of one commit's span, at most.
pub(crate) const LINKS: usize = 128;

/// A CLIENT span of one commit, in a trace of its own, linked to those that it serves. Whoever does not know yet how
/// many rows it writes records that later.
pub(crate) fn commit_span(
    store: &Store,
    rows: Option<usize>,
    of: impl Iterator<Item = TraceContext>,
) -> Span {
    let span = tracing::info_span!(
        parent: None,
        "commit",
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = store.system(),
        db.operation.name = "COMMIT",
        db.operation.batch.size = rows.map(|rows| rows as i64),
        store = store.label(),
    );
    of.take(LINKS).for_each(|of| span.link_to(of));
    span
}
