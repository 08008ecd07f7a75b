//! The queue: what it is built of, and how it runs and stops.

use crate::{
    AttemptOutcome, JobId, JobState, Ledger, Priority, QueueConfig, Result, RetryConfig, Store, StoreError,
    Worker, attempt::Ended, backlog::Backlog, commit, commit::Pending, metrics::Counts, sql::Statements,
    store::Tx,
};
use chassis_telemetry::{SpanExt as _, TraceContext};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, Notify, RwLock, RwLockReadGuard, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{Span, field::Empty, span::Id};

/// Committers on PostgreSQL, whose commits run beside each other.
const COMMITTERS: usize = 4;

/// The durable queue. Cheap to clone.
pub struct Queue<W: Worker> {
    pub(crate) core: Arc<Core<W>>,
    /// To the committers.
    pub(crate) accept: mpsc::Sender<Pending<W::Job>>,
}

/// What the queue's parts share.
pub(crate) struct Core<W: Worker> {
    pub(crate) store: Store,
    pub(crate) setup: QueueSetup<W>,
    pub(crate) sql: Statements,
    pub(crate) backlog: Arc<Backlog>,
    /// Held for reading from a commit until the backlog knows of it, and for writing while a recount begins.
    pub(crate) counting: RwLock<()>,
    pub(crate) counts: Mutex<Counts>,
    /// This process among those that run jobs: the fence.
    pub(crate) identity: AtomicI64,
    /// Jobs that this process runs.
    pub(crate) in_hand: Mutex<HashMap<i64, InHand>>,
    /// Attempts that have ended, on their way to the dispatcher.
    pub(crate) ends: mpsc::Sender<Ended>,
    pub(crate) ended: AsyncMutex<mpsc::Receiver<Ended>>,
    /// A commit was uncertain: jobs may be running under our identity that we do not know of.
    pub(crate) doubt: AtomicBool,
    /// Channels that may have due jobs which the dispatcher has not looked for.
    pub(crate) due: Mutex<HashSet<&'static str>>,
    /// There are some.
    pub(crate) wake: Notify,
    /// A batch was accepted.
    pub(crate) unexpanded: Notify,
    /// Jobs were committed that another process may run.
    pub(crate) announce: Notify,
    pub(crate) stop: CancellationToken,
}

/// A job that this process runs.
pub(crate) struct InHand {
    pub(crate) channel: &'static str,
    pub(crate) priority: Priority,
    /// The identity that it runs under; 0 until it is committed.
    pub(crate) worker: i64,
    /// Its caller waits: it takes none of the channel's workers.
    pub(crate) sync: bool,
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
    /// The precondition of [`crate::Enqueue::guard`]: SQL that is true for the text `{subject}`, such as
    /// `EXISTS (SELECT 1 FROM account WHERE id = {subject} AND phone IS NOT NULL)`.
    pub guard: &'static str,
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
    pub async fn open(store: Store, setup: QueueSetup<W>) -> Result<Self> {
        let core = Arc::new(Core::new(store, setup));
        core.register().await?;
        core.recover_all().await?;
        core.count().await?;
        let committers = core.store.dialect().pick(1, COMMITTERS);
        let accept = commit::spawn(&core, committers);
        Ok(Self { core, accept })
    }

    /// Runs jobs until [`Self::stop`]; then finishes the attempts in hand, commits their outcomes, and ends.
    pub async fn run(&self) {
        let core = &self.core;
        tokio::select! {
            // The committers have panicked.
            () = self.accept.closed() => {}
            () = core.dispatch() => {}
            _ = async {
                tokio::join!(core.store.keep_probing(), core.store.keep_checkpointing(), core.keep_counting(),
                    core.expand(), core.clear(), core.keep_lease(), core.announce(), core.listen())
            } => {}
        }
    }

    /// Starts no more attempts: [`Self::run`] ends once those in hand are committed. Jobs that have not started
    /// stay queued. Enqueueing still works.
    pub fn stop(&self) {
        self.core.stop.cancel();
    }

    /// An id for a group of `jobs` jobs (or for any other row): ids rise, also across restarts and when the clock
    /// steps back.
    pub fn new_id(&self, jobs: usize) -> JobId {
        self.core.store.new_id(jobs)
    }

    /// The store that the queue lives in.
    pub fn store(&self) -> &Store {
        &self.core.store
    }

    /// The worker.
    pub fn worker(&self) -> &W {
        &self.core.setup.worker
    }

    /// How far the workers are behind.
    pub fn lag(&self) -> Lag {
        Lag { waits: self.core.counts.lock().waits, clears_in: self.core.backlog.clears_in() }
    }
}

impl<W: Worker> Core<W> {
    fn new(store: Store, setup: QueueSetup<W>) -> Self {
        let (ends, ended) = mpsc::channel(setup.config.workers * setup.channels.len().max(1));
        Self {
            sql: Statements::new(store.dialect(), setup.guard, setup.channels.len()),
            backlog: Arc::new(Backlog::new(&setup.config)),
            counting: RwLock::default(),
            counts: Mutex::default(),
            identity: AtomicI64::default(),
            in_hand: Mutex::default(),
            ends,
            ended: ended.into(),
            doubt: AtomicBool::default(),
            due: Mutex::default(),
            wake: Notify::new(),
            unexpanded: Notify::new(),
            announce: Notify::new(),
            stop: CancellationToken::new(),
            store,
            setup,
        }
    }

    /// Wakes the dispatcher for jobs of these channels: it does not ask the database about others.
    pub(crate) fn wake(&self, channels: impl IntoIterator<Item = &'static str>) {
        self.due.lock().extend(channels);
        self.wake.notify_one();
    }

    /// The same in every process, for jobs that were committed.
    pub(crate) fn committed_jobs(&self, channels: impl IntoIterator<Item = &'static str>) {
        self.wake(channels);
        self.announce.notify_one();
    }

    /// Begins a transaction that changes how many jobs are unfinished; the guard is kept until the backlog knows.
    pub(crate) async fn begin(&self) -> Result<(Tx, RwLockReadGuard<'_, ()>)> {
        // Before the transaction: who waits for a recount must not hold the one writer.
        let counting = self.counting.read().await;
        Ok((self.store.begin().await?, counting))
    }

    /// Adds to the ledger in its own transaction.
    pub(crate) async fn write_ledger(&self, tx: &mut Tx, more: Ledger) -> Result<(), sqlx::Error> {
        let Ledger { accepted, completed, failed, expired, cancelled, unknown } = more;
        if more != Ledger::default() {
            let query = self.sql.ledger.query().bind(accepted).bind(completed).bind(failed);
            query.bind(expired).bind(cancelled).bind(unknown).execute(&mut **tx).await?;
        }
        Ok(())
    }

    /// A span of the messaging conventions: `send` and `create` are PRODUCERs, `process` is a CONSUMER.
    pub(crate) fn message_span(
        &self,
        operation: &'static str,
        parent: Option<Id>,
        group: JobId,
        channel: &'static str,
        priority: Priority,
        jobs: usize,
    ) -> Span {
        tracing::info_span!(
            parent: parent,
            "message",
            otel.name = format_args!("{operation} {}", self.setup.names.destination),
            otel.kind = if operation == "process" { "consumer" } else { "producer" },
            otel.status_code = Empty,
            messaging.system = self.setup.names.system,
            messaging.operation.name = operation,
            messaging.operation.type = operation,
            messaging.destination.name = self.setup.names.destination,
            messaging.message.id = %group,
            messaging.batch.message_count = (jobs > 1).then_some(jobs as i64),
            channel,
            priority = priority.as_str(),
            // Recorded later.
            attempt = Empty, outcome = Empty, waited_ms = Empty, committed_ms = Empty,
        )
    }

    /// The service's constant for a stored channel.
    pub(crate) fn channel(&self, name: &str) -> Result<&'static str> {
        let found = self.setup.channels.iter().copied().find(|channel| *channel == name);
        found.ok_or_else(|| StoreError::Statement(format!("channel {name} is not one of this release")))
    }
}

/// Links of one commit's span, at most.
pub(crate) const LINKS: usize = 128;

/// A CLIENT span of one commit, in a trace of its own. Whoever does not know yet how many rows it writes records that
/// later.
pub(crate) fn commit_span(store: &Store, rows: Option<usize>) -> Span {
    tracing::info_span!(
        parent: None,
        "commit",
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = store.system(),
        db.operation.name = "COMMIT",
        db.operation.batch.size = rows.map(|rows| rows as i64),
        store = store.label(),
    )
}

/// Links the current commit's span to those that it serves. It takes its time: belongs beside the call.
pub(crate) fn link_commit(of: impl Iterator<Item = TraceContext>) {
    let span = Span::current();
    of.take(LINKS).for_each(|of| span.link_to(of));
}
