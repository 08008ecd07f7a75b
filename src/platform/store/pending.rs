//! A write that waits for the committer: what it does, and whom to answer.

use super::{Committed, Operation, StoreError, Tx, WriteError};
use crate::platform::telemetry::TraceContext;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

/// Decides between a caller who gives up and the committer that begins: exactly one of them wins.
#[derive(Clone, Default)]
pub(super) struct Claim(Arc<AtomicU8>);

impl Claim {
    /// The committer takes the write into a batch; `false` if the caller has withdrawn it.
    fn take(&self) -> bool {
        self.change(TAKEN) || self.0.load(Ordering::Acquire) == TAKEN
    }

    /// The caller gives up; `false` if the write is already in a batch.
    pub(super) fn withdraw(&self) -> bool {
        self.change(WITHDRAWN)
    }

    fn change(&self, to: u8) -> bool {
        self.0.compare_exchange(WAITING, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// How long a committed write took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) begun: Instant,
    pub(super) committed: Duration,
}

/// A write in the committer's hands.
pub(super) trait Pending: Send {
    fn operation(&self) -> Operation;
    fn rows(&self) -> usize;
    /// The trace that the batch's span links to.
    fn trace(&self) -> Option<TraceContext>;
    /// `false` if the caller has withdrawn it.
    fn take(&self) -> bool;
    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError>;
    /// Ends the write: first what has to be known to the process, then the caller.
    fn answer(self: Box<Self>, result: Result<Times, WriteError>);
}

/// [`Pending`] for closures.
pub(super) struct Write<T, F, G> {
    pub(super) operation: Operation,
    pub(super) rows: usize,
    pub(super) trace: Option<TraceContext>,
    pub(super) claim: Claim,
    pub(super) submitted: Instant,
    pub(super) value: Option<T>,
    pub(super) apply: F,
    pub(super) then: G,
    pub(super) reply: oneshot::Sender<Result<Committed<T>, WriteError>>,
}

impl<T, F, G> Pending for Write<T, F, G>
where
    T: Send + 'static,
    F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    G: FnOnce(Result<&T, &WriteError>) + Send + 'static,
{
    fn operation(&self) -> Operation {
        self.operation
    }
    fn rows(&self) -> usize {
        self.rows
    }
    fn trace(&self) -> Option<TraceContext> {
        self.trace
    }
    fn take(&self) -> bool {
        self.claim.take()
    }

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.value = Some((self.apply)(tx)?);
        Ok(())
    }

    fn answer(mut self: Box<Self>, result: Result<Times, WriteError>) {
        let missing = || WriteError::Refused(StoreError::Statement("the write was not applied".to_owned()));
        let outcome = match result {
            Ok(times) => self.value.take().ok_or_else(missing).map(|value| Committed {
                value,
                waited: times.begun.saturating_duration_since(self.submitted),
                committed: times.committed,
            }),
            Err(error) => Err(error),
        };
        (self.then)(outcome.as_ref().map(|committed| &committed.value));
        // The caller may have left: what it wrote stays, and has been made known above.
        let _ = self.reply.send(outcome);
    }
}
