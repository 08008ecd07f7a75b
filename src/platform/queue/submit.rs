//! Accepting: one transaction holds the jobs, their key, their trace and the ledger's change.

use super::{
    Answer, Fact, Inner, JobId, Priority, Queue, Refused, Status, Submission, Submitted,
    book::Kind,
    idempotency,
    lanes::Ready,
    sql::{self, NewJob},
    worker,
};
use crate::platform::{
    store::{Committed, Operation, Purpose, StoreError, Tx, WriteError},
    telemetry::{SpanExt, TraceContext, names},
    time::now_ms,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Span;

/// A question to the store, asked in the transaction of what depends on its answer.
pub type Precondition = Box<dyn Fn(&mut Tx<'_>) -> Result<bool, StoreError> + Send + Sync>;

/// What the transaction found.
#[derive(Clone, Debug)]
pub(super) enum Written {
    New,
    Answered(Answer),
    InFlight,
    Reused,
    Unmet,
}

/// Room in the backlog, taken until the commit has ended.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub kind: Kind,
    /// Unix ms: the later of now and `send_at`.
    pub first_due: i64,
}

/// A submission as its closures share it.
pub(super) struct Order {
    submission: Submission,
    trace: TraceContext,
    first_due: i64,
    kind: Kind,
    sync: bool,
}

impl Queue {
    /// Ids for a notification of `parts` jobs: the first is the notification's own, the rest follow it.
    /// Ids rise with time and hold the time of their making.
    pub fn allocate(&self, parts: usize) -> JobId {
        self.inner.ids.allocate(parts)
    }

    /// Accepts jobs to be delivered later; answers once they are committed. The context of `span`, the
    /// PRODUCER, is kept in the jobs, and the times waited and committed are recorded on it.
    ///
    /// # Errors
    /// See [`Refused`]; only [`Refused::CommitUnknown`] may have stored something.
    pub async fn submit(&self, submission: Submission, span: &Span) -> Result<Submitted, Refused> {
        match self.inner.room(submission.send_at, submission.priority, submission.payloads.len()) {
            Ok(room) => self.store_order(Order::new(submission, span, room, false), span).await?.told(),
            // What was accepted once is not refused to its repeat.
            Err(full) => self.repeated_or(submission.idempotency, Some(submission.answer), full).await,
        }
    }

    /// Commits jobs as `sending`, makes one attempt of each and commits its outcome; never retried.
    /// The caller's leaving cancels nothing.
    ///
    /// # Errors
    /// See [`Refused`]; also refused while as many synchronous calls as there are workers are in flight.
    pub async fn deliver_now(&self, submission: Submission, span: Span) -> Result<Submitted, Refused> {
        let (permit, room) = match self.inner.room_now(&submission) {
            Ok(room) => room,
            Err(full) => {
                return self.repeated_or(submission.idempotency, Some(submission.answer), full).await;
            }
        };
        let order = Order::new(submission, &span, room, true);
        let queue = self.clone();
        let inside = span.clone();
        // A task of its own: once committed, the attempt is made whoever waits for it.
        let work = async move {
            let submitted = match queue.store_order(Arc::clone(&order), &inside).await? {
                Written::New => Ok(Submitted::Finished(
                    worker::attempt_now(&queue, &order.jobs(), &order.submission).await,
                )),
                other => other.told(),
            };
            drop(permit);
            submitted
        };
        let task = self.inner.tasks.spawn(tracing::Instrument::instrument(work, span));
        task.await.unwrap_or(Err(Refused::CommitUnknown))
    }

    async fn store_order(&self, order: Arc<Order>, span: &Span) -> Result<Written, Refused> {
        let purpose = Purpose {
            operation: Operation::Accept,
            rows: order.submission.payloads.len(),
            trace: Some(order.trace),
        };
        let (queue, kept) = (self.clone(), Arc::clone(&order));
        let then = move |written: Result<&Written, &WriteError>| queue.inner.accepted(&kept, written);
        match self.inner.store.write_then(purpose, move |tx| order.write(tx), then).await {
            Ok(done) => Ok(times(done, span)),
            Err(error) => Err(refused_by(error)),
        }
    }
}

/// Records on a PRODUCER's span how long its commit took.
pub(super) fn record_times<T>(done: &Committed<T>, span: &Span) {
    span.record(names::WAITED_MS, done.waited.as_secs_f64() * 1000.0);
    span.record(names::COMMITTED_MS, done.committed.as_secs_f64() * 1000.0);
}

/// The same, and gives what was committed.
pub(super) fn times<T>(done: Committed<T>, span: &Span) -> T {
    record_times(&done, span);
    done.value
}

/// What a store that did not take a submission means for it.
pub(super) fn refused_by(error: WriteError) -> Refused {
    match error {
        WriteError::Refused(StoreError::Statement(reason)) => {
            tracing::error!(reason, "a submission could not be stored");
            Refused::StoreUnavailable
        }
        WriteError::Refused(_) => Refused::StoreUnavailable,
        WriteError::CommitUnknown(_) => Refused::CommitUnknown,
    }
}

impl Written {
    /// As the caller is told of it.
    pub(super) fn told(self) -> Result<Submitted, Refused> {
        match self {
            Self::New => Ok(Submitted::Accepted),
            Self::Answered(answer) => Ok(Submitted::Replayed(answer)),
            Self::InFlight => Ok(Submitted::InFlight),
            Self::Reused => Err(Refused::KeyReused),
            Self::Unmet => Err(Refused::Unmet),
        }
    }
}

impl Order {
    pub(super) fn new(submission: Submission, span: &Span, room: Room, sync: bool) -> Arc<Self> {
        let trace = span.trace_context().unwrap_or_else(TraceContext::new_root);
        let Room { kind, first_due } = room;
        Arc::new(Self { submission, trace, first_due, kind, sync })
    }

    pub(super) fn write(&self, tx: &mut Tx<'_>) -> Result<Written, StoreError> {
        let submission = &self.submission;
        if let Some(key) = &submission.idempotency
            && let Some(before) = idempotency::judge(key, tx, Some(submission.answer))?
        {
            return Ok(before);
        }
        if let Some(holds) = &submission.precondition
            && !holds(tx)?
        {
            return Ok(Written::Unmet);
        }
        self.remember(tx)?;
        for (part, payload) in submission.payloads.iter().enumerate() {
            let job = NewJob {
                id: submission.id.part(part),
                part,
                parts: submission.payloads.len(),
                sync: self.sync,
                scheduled: self.kind == Kind::Scheduled,
                channel: submission.channel,
                priority: submission.priority,
                first_due: self.first_due,
                not_after: submission.not_after,
                trace: self.trace,
                payload,
            };
            sql::insert(tx, &job)?;
        }
        tx.ledger().accepted(submission.payloads.len());
        Ok(Written::New)
    }

    /// Keeps the caller's key, with the answer where that is known by now.
    fn remember(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let submission = &self.submission;
        let Some(key) = &submission.idempotency else { return Ok(()) };
        key.remember(tx, submission.id, now_ms())?;
        if self.sync {
            return Ok(());
        }
        let accepted = vec![Status::Accepted; submission.payloads.len()];
        key.answered(tx, &(submission.answer)(submission.id, &accepted))
    }

    pub(super) fn count(&self) -> usize {
        self.submission.payloads.len()
    }

    /// The jobs as a worker takes them.
    fn jobs(&self) -> Vec<Ready> {
        let submission = &self.submission;
        let job = |(part, payload): (usize, &Vec<u8>)| Ready {
            id: submission.id.part(part),
            notification: submission.id,
            channel: submission.channel,
            priority: submission.priority,
            spent: 0,
            first_due: self.first_due,
            not_after: submission.not_after,
            trace: self.trace,
            payload: Arc::from(&payload[..]),
            last_attempt: None,
        };
        submission.payloads.iter().enumerate().map(job).collect()
    }
}

impl Inner {
    /// Takes the backlog's room for a submission.
    pub(super) fn room(&self, send_at: Option<i64>, of: Priority, jobs: usize) -> Result<Room, Refused> {
        let now = now_ms();
        let first_due = send_at.filter(|at| *at > now).unwrap_or(now);
        let mut state = self.state.lock();
        let scheduled = send_at.is_some_and(|at| at > now.max(state.due_until));
        let kind = if scheduled { Kind::Scheduled } else { Kind::Due };
        match state.book.reserve(kind, of == Priority::Urgent, jobs) {
            Ok(()) => Ok(Room { kind, first_due }),
            Err(retry_after) => Err(Refused::BacklogFull { retry_after }),
        }
    }

    /// The same for a synchronous one, with its place among them.
    fn room_now(&self, submission: &Submission) -> Result<(OwnedSemaphorePermit, Room), Refused> {
        let busy = |_| Refused::BacklogFull { retry_after: Duration::from_secs(1) };
        let permit = Arc::clone(&self.sync_slots).try_acquire_owned().map_err(busy)?;
        let room = self.room(submission.send_at, submission.priority, submission.payloads.len())?;
        Ok((permit, room))
    }

    /// Makes known what became of a submission: runs in the order of the commits.
    pub(super) fn accepted(&self, order: &Order, written: Result<&Written, &WriteError>) {
        let jobs = order.submission.payloads.len();
        let mut state = self.state.lock();
        let stored = matches!(written, Ok(Written::New));
        state.book.settle(order.kind, jobs, stored);
        match written {
            Ok(Written::New) if order.sync => {
                for job in order.jobs() {
                    state.book.begun(job.priority, job.first_due, job.id);
                }
            }
            Ok(Written::New) if order.kind == Kind::Scheduled && order.first_due > state.due_until => {
                state.next_due = Some(state.next_due.map_or(order.first_due, |at| at.min(order.first_due)));
            }
            Ok(Written::New) => {
                if order.kind == Kind::Scheduled {
                    // It fell due while it was being committed.
                    state.book.scheduled_due(jobs);
                }
                if state.lanes.takes(order.submission.priority) {
                    order.jobs().into_iter().for_each(|job| state.lanes.push(job));
                } else {
                    state.lanes.spilled(order.submission.priority);
                }
            }
            // If it was stored after all, it is found there.
            Err(WriteError::CommitUnknown(_)) => state.doubt(),
            Ok(_) | Err(WriteError::Refused(_)) => {}
        }
        drop(state);
        if stored {
            let (channel, priority) = (order.submission.channel, order.submission.priority);
            self.handler.observe(&Fact::Accepted { channel, priority, jobs });
            // A worker that comes free wakes the dispatcher itself.
            if self.places.are_free() || order.kind == Kind::Scheduled {
                self.wake.notify_one();
            }
        }
    }
}
