//! Accepting a batch: one short transaction holds its template, its members in chunks, the key, the trace
//! and the ledger's change. Its jobs are made afterwards, by `expand`.

use super::{
    BatchRecord, Fact, Inner, JobId, Queue, Refused, Status, Submitted,
    batch::Batch,
    book::Kind,
    idempotency,
    pending::Pending,
    sql::batch::{self, NewBatch},
    submit::{Room, Written, refused_by, times},
};
use crate::platform::{
    store::{Operation, Purpose, StoreError, Tx, WriteError},
    telemetry::{SpanExt, TraceContext},
    time::now_ms,
};
use std::sync::Arc;
use tracing::Span;

/// A batch as its closures share it.
struct Order {
    batch: Batch,
    trace: TraceContext,
    room: Room,
}

impl Queue {
    /// Accepts a batch, all of it or nothing; answers once it is committed. The context of `span`, the
    /// PRODUCER, is what its notifications' traces are linked to.
    ///
    /// # Errors
    /// See [`Refused`]; only [`Refused::CommitUnknown`] may have stored something.
    pub async fn submit_batch(&self, batch: Batch, span: &Span) -> Result<Submitted, Refused> {
        let room = match self.inner.room(batch.send_at, batch.priority, batch.members.jobs()) {
            Ok(room) => room,
            Err(full) => return self.repeated_or(batch.idempotency, None, full).await,
        };
        let trace = span.trace_context().unwrap_or_else(TraceContext::new_root);
        let order = Arc::new(Order { batch, trace, room });
        let rows = 1 + order.batch.members.chunks.len();
        let purpose = Purpose { operation: Operation::Accept, rows, trace: Some(trace) };
        let (queue, kept) = (self.clone(), Arc::clone(&order));
        let then = move |written: Result<&Written, &WriteError>| queue.inner.batch_accepted(&kept, written);
        let done = self.inner.store.write_then(purpose, move |tx| order.write(tx), then).await;
        times(done.map_err(refused_by)?, span).told()
    }

    /// A batch and its notifications by status; `overall` makes one status out of those of a
    /// notification's jobs.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn batch(
        &self,
        id: JobId,
        overall: fn(&[Status]) -> Status,
    ) -> Result<Option<BatchRecord>, StoreError> {
        let channels = self.inner.channels;
        self.inner.store.read("find batch", move |tx| batch::find(tx, id, channels, overall)).await
    }
}

impl Order {
    fn write(&self, tx: &mut Tx<'_>) -> Result<Written, StoreError> {
        let Self { batch, trace, room } = self;
        if let Some(key) = &batch.idempotency {
            if let Some(before) = idempotency::judge(key, tx, None)? {
                return Ok(before);
            }
            key.remember(tx, batch.id, now_ms())?;
            key.answered(tx, &batch.answer)?;
        }
        let new = NewBatch {
            id: batch.id,
            jobs: batch.members.jobs(),
            notifications: batch.members.notifications(),
            skipped: batch.skipped,
            channel: batch.channel,
            priority: batch.priority,
            first_due: room.first_due,
            not_after: batch.not_after,
            trace: *trace,
            template: &batch.template,
        };
        batch::insert(tx, &new, &batch.members.chunks)?;
        tx.ledger().accepted(batch.members.jobs());
        Ok(Written::New)
    }
}

impl Inner {
    /// Makes known what became of a batch: runs in the order of the commits.
    fn batch_accepted(&self, order: &Order, written: Result<&Written, &WriteError>) {
        let (batch, room) = (&order.batch, order.room);
        let jobs = batch.members.jobs();
        let stored = matches!(written, Ok(Written::New));
        let mut state = self.state.lock();
        state.book.settle(room.kind, jobs, stored);
        if stored {
            state.batches.add(Pending {
                id: batch.id,
                priority: batch.priority,
                first_due: room.first_due,
                jobs,
                scheduled: room.kind == Kind::Scheduled,
                not_before: 0,
            });
            // The dispatcher counts up to its time, and then has it expanded.
            state.next_due = [state.next_due, Some(room.first_due)].into_iter().flatten().min();
        } else if let Err(WriteError::CommitUnknown(_)) = written {
            state.doubt();
        }
        drop(state);
        if stored {
            self.handler.observe(&Fact::Accepted { channel: batch.channel, priority: batch.priority, jobs });
            self.wake.notify_one();
        }
    }
}
