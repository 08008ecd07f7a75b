//! The one committer: everything that waits goes into one transaction and one sync, then every caller
//! is answered. No waiting is added: the next batch gathers while the last one commits.

use super::{
    Ledger, Operation, StoreError, Tx, WriteError,
    checkpoint::Checkpointer,
    inbox::{Batch, IDLE, Inbox},
    metrics::CommitMetrics,
    pending::{Pending, Times},
    sqlite::Database,
    status::Status,
};
use crate::platform::telemetry::{SpanExt, TraceContext, names};
use rusqlite::{Connection, wal::CheckpointMode};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Links on a batch's span at most.
const LINKS: usize = 128;

/// Answers of one batch on their way into the runtime: one wake-up for all of them.
pub(super) type Answers = Vec<(Box<dyn Pending>, Result<Times, WriteError>)>;

/// What the committer's thread works with.
pub(super) struct Committer {
    pub(super) connection: Connection,
    pub(super) database: Database,
    pub(super) inbox: Arc<Inbox>,
    pub(super) status: Arc<Status>,
    pub(super) checkpointer: Arc<Checkpointer>,
    pub(super) answers: mpsc::UnboundedSender<Answers>,
    pub(super) metrics: CommitMetrics,
}

/// However the committer ends, nobody goes on waiting for it.
struct Ending {
    inbox: Arc<Inbox>,
    status: Arc<Status>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.inbox.close();
        if std::thread::panicking() {
            self.status.failed(&StoreError::Unavailable("the committer ended unexpectedly"));
        }
    }
}

/// How a transaction ended.
enum End {
    Committed(Duration),
    /// Rolled back: nothing of it is stored.
    RolledBack(StoreError),
    /// The commit itself failed in a way that may have reached the disk.
    Uncertain(&'static str),
}

impl Committer {
    /// Runs until the inbox is closed and empty.
    pub(super) fn run(mut self) {
        let mut measured = Instant::now();
        let _ending = Ending { inbox: Arc::clone(&self.inbox), status: Arc::clone(&self.status) };
        let mut before = 0;
        while let Some(batch) = self.inbox.take(before) {
            before = batch.len();
            let (batch, withdrawn): (Batch, Batch) = batch.into_iter().partition(|write| write.take());
            if !withdrawn.is_empty() {
                let left = WriteError::Refused(StoreError::Unavailable("the caller has left"));
                self.answer(withdrawn, &Err(left));
            }
            let due = measured.elapsed() >= IDLE;
            if due {
                self.status.measure(&self.database);
                measured = Instant::now();
            }
            if !self.status.is_up() && (due || batch.is_empty()) {
                self.probe();
            }
            if !batch.is_empty() {
                self.commit(batch);
            }
        }
        self.leave();
    }

    /// After a clean stop everything is in the one file, so that a copy of it is a backup.
    fn leave(&self) {
        let _gate = self.checkpointer.gate();
        if let Err(error) = self.connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::TRUNCATE) {
            let error = StoreError::from(error);
            tracing::warn!(%error, "the log was not copied into the file; the next start does it");
        }
    }

    fn commit(&mut self, mut batch: Batch) {
        let begun = Instant::now();
        let span = self.span(&batch);
        let entered = span.enter();
        let end = self.transact(&mut batch);
        // Whatever became of it: some of it may be in the file.
        self.status.wrote();
        if let End::RolledBack(error) = &end
            && !error.is_environment()
            && batch.len() > 1
        {
            // One write is at fault: each gets a transaction of its own, so that only that one fails.
            span.add_event("split", &[]);
            drop(entered);
            return batch.into_iter().for_each(|write| self.commit(vec![write]));
        }
        self.finish(batch, begun, end, &span);
    }

    fn transact(&mut self, batch: &mut Batch) -> End {
        let _gate = self.checkpointer.gate();
        let begun = Instant::now();
        if let Err(error) = self.command("BEGIN IMMEDIATE") {
            return End::RolledBack(error.into());
        }
        let mut tx = Tx::new(&self.connection);
        let applied = batch.iter_mut().try_for_each(|write| write.apply(&mut tx));
        let change = *tx.ledger();
        if let Err(error) = applied.and_then(|()| change.store(&mut tx)) {
            self.roll_back();
            return End::RolledBack(error);
        }
        match self.command("COMMIT") {
            Ok(()) => {
                self.status.committed(&change);
                End::Committed(begun.elapsed())
            }
            Err(error) => match StoreError::from(error) {
                StoreError::Unavailable(reason) if reason != "the disk is full" => {
                    self.roll_back();
                    End::Uncertain(reason)
                }
                error => {
                    self.roll_back();
                    End::RolledBack(error)
                }
            },
        }
    }

    /// Executes a statement that stays prepared: parsing it for each batch would cost as much as a row.
    fn command(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.raw_execute().map(drop)
    }

    /// A rollback may fail where the transaction has ended by itself; the connection then is clean.
    fn roll_back(&self) {
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    fn finish(&self, batch: Batch, begun: Instant, end: End, span: &tracing::Span) {
        let result = match end {
            End::Committed(committed) => {
                self.metrics.record(&batch, begun.elapsed());
                Ok(Times { begun, committed })
            }
            End::RolledBack(error) => {
                span.record(names::OTEL_STATUS_CODE, "ERROR");
                self.status.failed(&error);
                Err(WriteError::Refused(error))
            }
            End::Uncertain(reason) => {
                span.record(names::OTEL_STATUS_CODE, "ERROR");
                self.status.failed(&StoreError::Unavailable(reason));
                Err(WriteError::CommitUnknown(reason))
            }
        };
        self.answer(batch, &result);
        self.checkpointer.committed();
    }

    fn answer(&self, batch: Batch, result: &Result<Times, WriteError>) {
        let answers = batch.into_iter().map(|write| (write, result.clone())).collect();
        if let Err(mpsc::error::SendError(answers)) = self.answers.send(answers) {
            // The runtime is gone: nobody waits, but what has to be known is still made known.
            answers.into_iter().for_each(|(write, result)| write.answer(result));
        }
    }

    /// A commit serves many traces: one CLIENT span a batch, in a trace of its own, linked to theirs.
    fn span(&self, batch: &Batch) -> tracing::Span {
        let span = tracing::info_span!(
            parent: None,
            "commit",
            otel.kind = "client",
            otel.status_code = tracing::field::Empty,
            db.system.name = "sqlite",
            db.operation.name = "COMMIT",
            db.operation.batch.size = batch.iter().map(|write| write.rows()).sum::<usize>(),
        );
        for trace in batch.iter().filter_map(|write| write.trace()).filter(TraceContext::sampled).take(LINKS)
        {
            span.link_to(trace);
        }
        span
    }

    /// Tries whether a store that failed works again: a new connection and a real, synced write.
    fn probe(&mut self) {
        match self.reopen() {
            Ok(ledger) => {
                self.status.reload(ledger);
                self.status.committed(&super::LedgerChange::default());
            }
            Err(error) => self.status.failed(&error),
        }
    }

    fn reopen(&mut self) -> Result<Ledger, StoreError> {
        self.connection = self.database.writer()?;
        self.checkpointer.watch(&mut self.connection)?;
        let mut tx = Tx::new(&self.connection);
        tx.execute(
            "INSERT OR REPLACE INTO probe (id, at) VALUES (1, $1)",
            &[crate::platform::time::now_ms().into()],
        )?;
        Ledger::load(&mut tx)
    }
}

/// Answers batch after batch inside the runtime, where waking a caller costs no system call.
pub(super) async fn answer_callers(mut answers: mpsc::UnboundedReceiver<Answers>) {
    while let Some(batch) = answers.recv().await {
        batch.into_iter().for_each(|(write, result)| write.answer(result));
    }
}

/// The operations whose commits are measured.
pub(super) const MEASURED: [Operation; 3] = [Operation::Accept, Operation::Begin, Operation::Complete];
