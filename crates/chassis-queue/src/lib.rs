//! Durable jobs on SQLite or PostgreSQL, understood from two types: a *job* is a serde struct, a *worker* runs it.
//!
//! [`Store`] opens the database, [`Queue`] keeps jobs in it. A job is accepted once its commit is synced; the start
//! of an attempt is committed before the attempt; its outcome is committed before it is counted.

mod batch;
mod config;
mod enqueue;
mod id;
mod model;
mod people;
mod queue;
mod store;

pub use batch::{Batch, BatchRecord, Members};
pub use config::{OnUnknown, QueueConfig, RetryConfig, StoreConfig, StoreUrl};
pub use enqueue::{Answer, Enqueue, Enqueued, Finished, Guard, Key, Refused, Statement, Value};
pub use id::{JobId, NotAnId};
pub use model::{
    Attempt, AttemptOutcome, AttemptRecord, Fact, JobRecord, JobState, Outcome, Priority, Report, Worker,
};
pub use people::{Filter, Verdict, Waiting};
pub use queue::{Lag, Names, Queue, QueueSetup};
pub use store::{Component, Health, Migration, OpenError, Reader, Store, StoreError, Tx};
