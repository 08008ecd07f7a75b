//! The transactional outbox: jobs that are written in the transaction of what they tell of, so that a crash
//! leaves both or neither. Room for them is taken before, and they are made known after the commit as any others.

use super::{
    Queue, Refused, Submission,
    submit::{Order, Written, record_times},
};
use crate::platform::store::{Committed, StoreError, Tx, WriteError};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tracing::Span;

/// A submission on its way into somebody else's transaction. Cheap to clone: one clone writes it, one tells how
/// the transaction ended. If nobody does, its room is given back with the last of them.
#[derive(Clone)]
pub struct Outgoing(Arc<Held>);

struct Held {
    queue: Queue,
    order: Arc<Order>,
    /// The PRODUCER, which ends with the last clone.
    span: Span,
    ended: AtomicBool,
}

impl Queue {
    /// Takes the backlog's room for a submission that another transaction is to hold. A repeat is that
    /// transaction's matter, so the submission has no key of its own. The jobs keep the context of `span`.
    ///
    /// # Errors
    /// [`Refused::BacklogFull`] only.
    pub fn reserve(&self, submission: Submission, span: Span) -> Result<Outgoing, Refused> {
        let room = self.inner.room(submission.send_at, submission.priority, submission.payloads.len())?;
        let order = Order::new(submission, &span, room, false);
        Ok(Outgoing(Arc::new(Held { queue: self.clone(), order, span, ended: AtomicBool::new(false) })))
    }
}

impl Outgoing {
    /// How many jobs there are.
    pub fn jobs(&self) -> usize {
        self.0.order.count()
    }

    /// Writes the jobs; `false` if the submission's precondition does not hold, and nothing was written. May be
    /// called again after a rollback.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn write(&self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        Ok(matches!(self.0.order.write(tx)?, Written::New))
    }

    /// Makes known how the transaction ended, and whether it holds the jobs: to be called in the order of the
    /// commits, as [`crate::platform::store::Store::write_then`] does. Only the first call counts.
    pub fn ended(&self, stored: Result<bool, &WriteError>) {
        if !self.0.ended.swap(true, Ordering::AcqRel) {
            let written = stored.map(|stored| if stored { &Written::New } else { &Written::Unmet });
            self.0.queue.inner.accepted(&self.0.order, written);
        }
    }

    /// Records the times of the commit on the PRODUCER's span.
    pub fn committed<T>(&self, done: &Committed<T>) {
        record_times(done, &self.0.span);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !*self.ended.get_mut() {
            self.queue.inner.accepted(&self.order, Ok(&Written::Unmet));
        }
    }
}
