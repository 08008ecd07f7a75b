//! Accepting jobs: callers that arrive while a commit runs share the next one.

use crate::{JobId, JobState, Priority, Queue, Tx, Worker};
use std::time::Duration;

/// Jobs to enqueue: one group, whose jobs differ in their payload only.
#[derive(Clone, Debug)]
pub struct Enqueue<J> {
    /// From [`Queue::new_id`], with as many parts as there are jobs.
    pub id: JobId,
    /// One of the queue's channels.
    pub channel: &'static str,
    pub priority: Priority,
    /// Unix milliseconds; `None` is now.
    pub run_at: Option<i64>,
    /// Unix milliseconds after which no attempt starts.
    pub not_after: i64,
    /// May be empty where only `writes` and the key matter.
    pub jobs: Vec<J>,
    pub key: Option<Key>,
    /// Kept under the key for repeats.
    pub answer: Answer,
    /// Has to hold in the commit; else nothing is stored and the result is [`Refused::Unmet`].
    pub guard: Option<Guard>,
    /// Statements of the domain that commit together with the jobs.
    pub writes: Vec<Statement>,
}

/// An idempotency key: hashes of whose request it is, and of what the request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub scope: [u8; 32],
    pub digest: [u8; 32],
}

/// The answer that a repeat with the same key gets again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    pub location: Option<String>,
}

/// A precondition: the `index`-th of [`crate::QueueSetup::guards`] holds for `subject`.
#[derive(Clone, Debug)]
pub struct Guard {
    pub index: usize,
    pub subject: String,
}

/// One SQL statement with its values, `$1`, `$2`, …
#[derive(Clone, Debug)]
pub struct Statement {
    pub sql: &'static str,
    pub values: Vec<Value>,
}

/// A value bound to a statement.
#[derive(Clone, Debug)]
pub enum Value {
    Int(i64),
    Text(String),
    OptionalText(Option<String>),
    Bytes(Vec<u8>),
}

/// What became of an accepted enqueue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// Committed.
    New,
    /// The key was used before with the same digest: the first answer again.
    Replayed(Answer),
    /// The key's first use is still running (only [`Queue::run_now`] leaves a key in this state).
    InFlight,
}

/// What became of [`Queue::run_now`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finished {
    /// Attempted; a state for each job.
    States(Vec<JobState>),
    Replayed(Answer),
    InFlight,
}

/// Why nothing was enqueued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the backlog is full")]
    BacklogFull { retry_after: Duration },
    #[error("the idempotency key was used with another request")]
    KeyReused,
    #[error("a precondition does not hold")]
    Unmet,
    /// Nothing was stored.
    #[error("the store is unavailable: {0}")]
    StoreUnavailable(String),
    /// The store vanished during the commit; it may have been stored.
    #[error("the store vanished during the commit")]
    CommitUnknown,
}

impl<W: Worker> Queue<W> {
    /// Commits jobs to be run later. Makes the PRODUCER span (`send <destination>`), whose context every attempt
    /// continues.
    ///
    /// # Errors
    /// See [`Refused`]; only [`Refused::CommitUnknown`] may have stored something.
    pub async fn enqueue(&self, enqueue: Enqueue<W::Job>) -> Result<Enqueued, Refused> {
        let _ = enqueue;
        todo!()
    }

    /// The same inside a caller's transaction: stored if that commits. Workers are woken by [`Tx::commit`].
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn enqueue_in(&self, tx: &mut Tx, enqueue: Enqueue<W::Job>) -> Result<Enqueued, Refused> {
        let _ = (tx, enqueue);
        todo!()
    }

    /// Commits jobs as running, makes one attempt at each while the caller waits, and commits the outcomes with the
    /// answer that `answer` makes of the states. Nothing is retried; dropping the future cancels nothing.
    ///
    /// # Errors
    /// See [`Refused`]; also refused while as many such calls run as the channel has workers.
    pub async fn run_now(
        &self,
        enqueue: Enqueue<W::Job>,
        answer: impl FnOnce(&[JobState]) -> Answer + Send + 'static,
    ) -> Result<Finished, Refused> {
        let _ = (enqueue, answer);
        todo!()
    }
}
