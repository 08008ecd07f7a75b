//! Accepting: one transaction holds the jobs, their key, their trace and the ledger's change.

use super::{
    Answer, Fact, Inner, JobId, Priority, Queue, Refused, Status, Submission, Submitted,
    book::Kind,
    idempotency::Claim,
    lanes::Ready,
    sql::{self, NewJob, read},
    worker,
};
use crate::platform::{
    store::{Committed, Operation, Purpose, StoreError, Tx, WriteError},
    telemetry::{SpanExt, TraceContext, names},
    time::now_ms,
};
use std::{sync::Arc, time::Duration};
use tracing::Span;

/// A question to the store, asked in the transaction of what depends on its answer.
pub type Precondition = Box<dyn Fn(&mut Tx<'_>) -> Result<bool, StoreError> + Send + Sync>;

/// What the transaction found.
#[derive(Clone, Debug)]
enum Written {
    New,
    Answered(Answer),
    InFlight,
    Reused,
    Unmet,
}

/// A submission as its closures share it.
struct Order {
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
        let order = self.order(submission, span, false)?;
        self.store_order(order, span).await?.told()
    }

    /// Commits jobs as `sending`, makes one attempt of each and commits its outcome; never retried.
    /// The caller's leaving cancels nothing.
    ///
    /// # Errors
    /// See [`Refused`]; also refused while as many synchronous calls as there are workers are in flight.
    pub async fn deliver_now(&self, submission: Submission, span: Span) -> Result<Submitted, Refused> {
        let busy = |_| Refused::BacklogFull { retry_after: Duration::from_secs(1) };
        let permit = Arc::clone(&self.inner.sync_slots).try_acquire_owned().map_err(busy)?;
        let order = self.order(submission, &span, true)?;
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

    /// Takes the backlog's room for a submission.
    fn order(&self, submission: Submission, span: &Span, sync: bool) -> Result<Arc<Order>, Refused> {
        let now = now_ms();
        let first_due = submission.send_at.filter(|at| *at > now).unwrap_or(now);
        let mut state = self.inner.state.lock();
        let scheduled = submission.send_at.is_some_and(|at| at > now.max(state.due_until));
        let kind = if scheduled { Kind::Scheduled } else { Kind::Due };
        let urgent = submission.priority == Priority::Urgent;
        let reserved = state.book.reserve(kind, urgent, submission.payloads.len());
        drop(state);
        reserved.map_err(|retry_after| Refused::BacklogFull { retry_after })?;
        let trace = span.trace_context().unwrap_or_else(TraceContext::new_root);
        Ok(Arc::new(Order { submission, trace, first_due, kind, sync }))
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
            Ok(Committed { value, waited, committed }) => {
                span.record(names::WAITED_MS, waited.as_secs_f64() * 1000.0);
                span.record(names::COMMITTED_MS, committed.as_secs_f64() * 1000.0);
                Ok(value)
            }
            Err(WriteError::Refused(StoreError::Statement(reason))) => {
                tracing::error!(reason, "a submission could not be stored");
                Err(Refused::StoreUnavailable)
            }
            Err(WriteError::Refused(_)) => Err(Refused::StoreUnavailable),
            Err(WriteError::CommitUnknown(_)) => Err(Refused::CommitUnknown),
        }
    }
}

impl Written {
    /// As the caller is told of it.
    fn told(self) -> Result<Submitted, Refused> {
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
    fn write(&self, tx: &mut Tx<'_>) -> Result<Written, StoreError> {
        let submission = &self.submission;
        if let Some(key) = &submission.idempotency {
            match key.find(tx, now_ms())? {
                None => {}
                Some(Claim::Answered(answer)) => return Ok(Written::Answered(answer)),
                Some(Claim::Reused) => return Ok(Written::Reused),
                Some(Claim::Open(id)) => return self.open(tx, id),
            }
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

    /// A key whose answer is not kept: its call is still in flight, or a crash ended it.
    fn open(&self, tx: &mut Tx<'_>, id: JobId) -> Result<Written, StoreError> {
        let statuses = read::statuses(tx, id)?;
        if statuses.contains(&Status::Sending) {
            return Ok(Written::InFlight);
        }
        Ok(Written::Answered((self.submission.answer)(id, &statuses)))
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
    /// Makes known what became of a submission: runs in the order of the commits.
    fn accepted(&self, order: &Order, written: Result<&Written, &WriteError>) {
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
            (0..jobs).for_each(|_| self.handler.observe(&Fact::Accepted { channel, priority }));
            // A worker that comes free wakes the dispatcher itself.
            if self.slots.available_permits() > 0 || order.kind == Kind::Scheduled {
                self.wake.notify_one();
            }
        }
    }
}
