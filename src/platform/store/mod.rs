//! Everything durable: connections, the one committer, migrations, and the opaque [`Tx`].
//!
//! What is stored is the business of the rooms that bring their own SQL; here stands how it is
//! committed, read, migrated and watched.

mod checkpoint;
mod committer;
pub mod config;
mod error;
mod idempotency;
mod in_place;
mod inbox;
mod ledger;
mod metrics;
mod migrate;
mod pending;
mod purpose;
mod readers;
mod schema;
mod snapshot;
mod sqlite;
mod status;
mod tx;

pub use error::{OpenError, StoreError, WriteError};
pub use idempotency::{Answer, IdempotencyKey, KeyUse};
pub use ledger::{Ledger, LedgerChange, LedgerState};
pub use migrate::{Migration, Schema};
pub use purpose::{Committed, Operation, Purpose};
pub use status::Verdict;
pub use tx::{Param, Row, Tx};

use crate::platform::{
    task,
    telemetry::{InSpan, names},
};
use checkpoint::Checkpointer;
use committer::{Committer, answer_callers};
use inbox::Inbox;
use parking_lot::Mutex;
use pending::{Claim, Write};
use readers::Readers;
use sqlite::{Database, InstanceLock};
use status::Status;
use std::{
    path::Path,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Span;

/// The service's store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    inbox: Arc<Inbox>,
    readers: Arc<Readers>,
    status: Arc<Status>,
    checkpointer: Arc<Checkpointer>,
    patience: Duration,
    threads: Mutex<Vec<JoinHandle<()>>>,
    _lock: InstanceLock,
}

impl Store {
    /// Opens (or makes) the file, migrates it and starts the committer. Call inside the runtime that
    /// is to answer callers. A write waits at most `patience` for its turn.
    ///
    /// # Errors
    /// The file is locked by another instance, can't be opened, is damaged, or needs a newer release.
    pub fn open(
        path: &Path,
        synchronous: bool,
        patience: Duration,
        schemas: &[Schema],
    ) -> Result<Self, OpenError> {
        let shown = path.display().to_string();
        let unusable =
            |error: StoreError| OpenError::Unusable { path: shown.clone(), reason: error.to_string() };
        let (database, lock, mut connection) = Database::open(path, synchronous)?;
        let all: Vec<Schema> = std::iter::once(schema::SCHEMA).chain(schemas.iter().copied()).collect();
        migrate::migrate(&mut connection, &shown, &all)?;
        let checkpointer = Arc::new(Checkpointer::default());
        checkpointer.watch(&mut connection).map_err(unusable)?;
        let status = Arc::new(Status::new(Ledger::load(&mut Tx::new(&connection)).map_err(unusable)?));
        status.measure(&database);
        let inbox = Arc::new(Inbox::default());
        #[expect(clippy::disallowed_methods, reason = "it holds no more than the callers that wait")]
        let (answers, answered) = mpsc::unbounded_channel();
        task::spawn(answer_callers(answered));
        let committer = Committer {
            connection,
            database: database.clone(),
            inbox: Arc::clone(&inbox),
            status: Arc::clone(&status),
            checkpointer: Arc::clone(&checkpointer),
            answers,
            metrics: metrics::CommitMetrics::new(),
        };
        let readers = Arc::new(Readers::new(database.clone(), Arc::clone(&status)));
        let threads = start(committer, Arc::clone(&checkpointer), database, Arc::clone(&readers))
            .map_err(|error| OpenError::Unusable { path: shown.clone(), reason: error.to_string() })?;
        let threads = Mutex::new(threads);
        Ok(Self {
            inner: Arc::new(Inner { inbox, readers, status, checkpointer, patience, threads, _lock: lock }),
        })
    }

    /// Runs `apply` in the committer's next batch and answers after that batch is synced.
    ///
    /// `apply` may run again after a rollback that another write of the batch caused, so it must not
    /// move anything out of itself. If it returns an error nothing of it is stored. A caller that
    /// leaves before the batch begins stores nothing; afterwards its write goes on.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write<T, F>(&self, purpose: Purpose, apply: F) -> Result<Committed<T>, WriteError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.write_then(purpose, apply, |_| ()).await
    }

    /// As [`Self::write`], however long it takes: for what a start has to do, in whatever store it finds.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write_at_leisure<T, F>(&self, purpose: Purpose, apply: F) -> Result<Committed<T>, WriteError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.hand_over(purpose, Duration::MAX, apply, |_| ()).await
    }

    /// As [`Self::write`]; `then` always runs, in the order of the commits, also if the caller has left.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write_then<T, F, G>(
        &self,
        purpose: Purpose,
        apply: F,
        then: G,
    ) -> Result<Committed<T>, WriteError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        G: FnOnce(Result<&T, &WriteError>) + Send + 'static,
    {
        self.hand_over(purpose, self.inner.patience, apply, then).await
    }

    async fn hand_over<T, F, G>(
        &self,
        purpose: Purpose,
        patience: Duration,
        apply: F,
        then: G,
    ) -> Result<Committed<T>, WriteError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        G: FnOnce(Result<&T, &WriteError>) + Send + 'static,
    {
        const LATE: &str = "it did not commit in time";
        let claim = Withdraw(Claim::default());
        let (reply, answer) = oneshot::channel();
        let Purpose { operation, rows, trace } = purpose;
        let (submitted, value) = (Instant::now(), None);
        let write =
            Write { operation, rows, trace, claim: claim.0.clone(), submitted, value, apply, then, reply };
        if let Err(write) = self.inner.inbox.push(Box::new(write)) {
            let stopping = WriteError::Refused(StoreError::Unavailable("the service is stopping"));
            write.answer(Err(stopping.clone()));
            return Err(stopping);
        }
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(WriteError::CommitUnknown("the committer ended")),
            Err(_) if claim.0.withdraw() => Err(WriteError::Refused(StoreError::Unavailable(LATE))),
            Err(_) => Err(WriteError::CommitUnknown(LATE)),
        }
    }

    /// Runs `read` on a reading connection, in one snapshot, under a CLIENT span.
    ///
    /// # Errors
    /// See [`StoreError`]; a read that takes over 10 s is given up.
    pub async fn read<T, F>(&self, name: &'static str, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        observed(span(name), self.inner.readers.read(read)).await
    }

    /// As [`Self::read`] for what finds few rows by their keys, which costs least where the store is quick: it is then
    /// done on the caller's own thread. `read` runs a second time where it failed there.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn look_up<T, F>(&self, name: &'static str, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (span, readers) = (span(name), &self.inner.readers);
        match span.in_scope(|| readers.look_up_here(&read)) {
            Some(found) => Ok(found),
            None => observed(span, readers.look_up(read)).await,
        }
    }

    /// The ledger as of the last commit.
    pub fn ledger(&self) -> Ledger {
        self.inner.status.ledger()
    }

    /// Whether commits succeed, and each change of that.
    pub fn verdict(&self) -> watch::Receiver<Verdict> {
        self.inner.status.subscribe()
    }

    /// Whether the committer has ended, as it does after [`Self::close`] or by a defect.
    pub fn has_ended(&self) -> bool {
        self.inner.inbox.is_closed()
    }

    /// Commits what waits, takes nothing more, and ends the threads. Blocks.
    pub fn close(&self) {
        self.inner.readers.close();
        self.inner.inbox.close();
        self.inner.checkpointer.close();
        for thread in std::mem::take(&mut *self.inner.threads.lock()) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

/// The CLIENT span of a read.
fn span(name: &'static str) -> Span {
    tracing::info_span!(
        "read",
        otel.name = name,
        otel.kind = "client",
        otel.status_code = tracing::field::Empty,
        db.system.name = "sqlite",
        db.operation.name = name,
    )
}

/// Reads in its span, which tells of a failure.
async fn observed<T>(span: Span, read: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let told = async {
        let result = read.await;
        if result.is_err() {
            Span::current().record(names::OTEL_STATUS_CODE, "ERROR");
        }
        result
    };
    InSpan::new(span, told).await
}

/// Withdraws a write whose caller leaves before its batch has begun.
struct Withdraw(Claim);

impl Drop for Withdraw {
    fn drop(&mut self) {
        self.0.withdraw();
    }
}

fn start(
    committer: Committer,
    checkpointer: Arc<Checkpointer>,
    database: Database,
    readers: Arc<Readers>,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    let commit = task::spawn_thread("store-commit", move || committer.run())?;
    let check = task::spawn_thread("store-checkpoint", move || checkpointer.run(&database, &readers))?;
    Ok(vec![commit, check])
}
