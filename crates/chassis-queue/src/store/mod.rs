//! The database: opening, migrations, transactions and what can go wrong.

use crate::{JobId, StoreConfig};
use sqlx::{Any, AnyConnection, Transaction, pool::PoolConnection};
use std::{
    ops::{Deref, DerefMut},
    path::Path,
};
use tokio::sync::watch;

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    health: watch::Receiver<Health>,
}

/// The schema of one part of the service. The queue's own is always there.
#[derive(Clone, Copy, Debug)]
pub struct Component {
    pub name: &'static str,
    pub steps: &'static [Migration],
    /// Tables whose column `id` comes from [`Store::new_id`]: new ids are above theirs.
    pub ids: &'static [&'static str],
}

/// One step of a schema, forward only. Its version is its place, from 1.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The lowest version of the code that still works with the schema after this step.
    pub min_reader: i64,
    /// Types that both databases know: `BIGINT`, `TEXT`, and `{bytes}` for BLOB or BYTEA.
    pub sql: &'static str,
}

/// Whether the store can be used now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Up,
    Down(String),
}

/// What can go wrong in the store, as callers need to tell it apart.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was stored: full, locked, damaged, unreachable … The reason is shown by `/readyz`.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store vanished during the commit: it may have been stored.
    #[error("the store vanished during the commit: {0}")]
    CommitUnknown(String),
    /// A statement failed for a reason of its own: a defect of the caller. The text names no values.
    #[error("a statement failed: {0}")]
    Statement(String),
}

/// Why the store could not be opened at start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "{path} is in use by another instance (lock held on {path}.lock): stop it, or set store.url to another file"
    )]
    InUse { path: String },
    #[error("{store} can't be opened: {reason}")]
    Unusable { store: String, reason: String },
    #[error(
        "{store} was written by a newer release ({component} schema {found} needs a reader of at least {min_reader}; this release reads {known}): run that release, or restore a backup"
    )]
    TooNew { store: String, component: String, found: i64, min_reader: i64, known: i64 },
}

/// A write transaction; dereferences to sqlx's connection: `sqlx::query(..).execute(&mut *tx)`. Dropped without
/// [`Tx::commit`], it is rolled back.
pub struct Tx {
    inner: Transaction<'static, Any>,
}

/// A connection that only reads, under a CLIENT span that ends with it: `sqlx::query(..).fetch_all(&mut *reader)`.
pub struct Reader {
    connection: PoolConnection<Any>,
}

impl Store {
    /// Opens the database, makes it if it is new, and brings every component's schema to its newest version.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(config: &StoreConfig, components: &[Component]) -> Result<Self, OpenError> {
        let _ = (config, components);
        todo!()
    }

    /// Begins a write transaction. On SQLite there is one at a time: keep it short.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        todo!()
    }

    /// A connection for reading, under a CLIENT span of this name (`find latest report`).
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn read(&self, name: &'static str) -> Result<Reader, StoreError> {
        let _ = name;
        todo!()
    }

    /// An id above all stored ones, followed by `parts - 1` more that are not given to anybody else.
    #[must_use]
    pub fn new_id(&self, parts: usize) -> JobId {
        let _ = parts;
        todo!()
    }

    /// Now, in Unix milliseconds: the server's clock on PostgreSQL.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        todo!()
    }

    /// The short id that is kept in the store: the label `store` of metrics.
    #[must_use]
    pub fn label(&self) -> &str {
        todo!()
    }

    /// `sqlite` or `postgresql`.
    #[must_use]
    pub fn system(&self) -> &'static str {
        todo!()
    }

    /// Whether the store can be used, for readiness.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Waits until nothing uses the store, and closes it; what was committed is in the file.
    pub async fn close(&self) {
        todo!()
    }

    /// Copies a live SQLite store into a new file.
    ///
    /// # Errors
    /// Not SQLite, the file exists, or the copy failed.
    pub async fn backup(config: &StoreConfig, to: &Path) -> Result<(), OpenError> {
        let _ = (config, to);
        todo!()
    }
}

impl Tx {
    /// Commits.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn commit(self) -> Result<(), StoreError> {
        todo!()
    }
}

impl Deref for Tx {
    type Target = AnyConnection;
    fn deref(&self) -> &AnyConnection {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }
}

impl Deref for Reader {
    type Target = AnyConnection;
    fn deref(&self) -> &AnyConnection {
        &self.connection
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.connection
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}
