//! Durable jobs on SQLite or PostgreSQL, understood from two types: a *job* is a serde struct, a *worker* runs it.
//!
//! [`Store`] opens the database, [`Queue`] keeps jobs in it. A job is accepted once its commit is synced; the start
//! of an attempt is committed before the attempt; its outcome is committed before it is counted.

mod attempt;
mod backlog;
mod batch;
mod commit;
mod config;
mod dispatch;
mod enqueue;
mod id;
mod lease;
mod metrics;
mod model;
mod people;
mod queue;
mod sql;
mod store;
mod upkeep;

/// What the queue gives; the store's errors, unless it says otherwise.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

pub use batch::{Batch, BatchInfo, BatchRecord, Members};
pub use config::{OnUnknown, QueueConfig, RetryConfig, StoreConfig, StoreUrl};
pub use enqueue::{Answer, Enqueue, Enqueued, Finished, Key, Refused, Statement, Value};
pub use id::{JobId, NotAnId};
pub use metrics::{Ledger, METRICS, ledger_metric};
pub use model::{
    Attempt, AttemptOutcome, AttemptRecord, Fact, JobRecord, JobState, Outcome, Priority, Report, Worker,
};
pub use people::{Filter, Verdict};
pub use queue::{Lag, Names, Queue, QueueSetup};
pub use store::{Component, Migration, OpenError, Reader, Store, StoreError, Tx};
