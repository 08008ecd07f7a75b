//! Everything durable: connections, the one committer, migrations, and the opaque [`Tx`].

pub mod config;
mod error;
mod tx;

pub use error::{StoreError, WriteError};
pub use tx::{Param, Row, Tx};

use std::time::Duration;

/// What a write is for: the `operation` label of the commit metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Accept,
    Begin,
    Complete,
    /// The domain's own writes: not in the commit metrics' closed set, so they are timed as `accept`.
    Domain,
}

/// What a committed write returns.
#[derive(Debug)]
pub struct Committed<T> {
    pub value: T,
    /// From the call until the batch began.
    pub waited: Duration,
    /// From the batch's begin until it was synced.
    pub committed: Duration,
}

/// The service's store. Cheap to clone.
#[derive(Clone)]
pub struct Store {}

impl Store {
    /// Runs `apply` in the committer's next batch and answers after that batch is synced.
    ///
    /// `apply` may run again after a rollback that another write of the batch caused, so it must
    /// not move anything out of itself. If it returns an error nothing of it is stored.
    pub async fn write<T, F>(&self, _operation: Operation, _apply: F) -> Result<Committed<T>, WriteError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        todo!()
    }

    /// Runs `read` on a reading connection, in one snapshot, under a CLIENT span `name`.
    pub async fn read<T, F>(&self, _name: &'static str, _read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        todo!()
    }
}
