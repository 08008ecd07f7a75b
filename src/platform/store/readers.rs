//! Reading connections: a few, opened when first needed, used on blocking threads.

use super::{StoreError, Tx, sqlite::Database};
use crate::platform::task;
use parking_lot::Mutex;
use rusqlite::Connection;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Reads at once.
const CONNECTIONS: usize = 4;
/// How long a read may wait and run before it fails.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Readers {
    database: Database,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Readers {
    pub(super) fn new(database: Database) -> Self {
        Self { database, idle: Mutex::default(), permits: Semaphore::new(CONNECTIONS) }
    }

    /// Runs `read` in one snapshot.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it took over 10 s.
    pub(super) async fn read<T, F>(self: &Arc<Self>, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        const LATE: StoreError = StoreError::Unavailable("a read took too long");
        let work = async {
            let _permit = self.permits.acquire().await.map_err(|_| LATE)?;
            let readers = Arc::clone(self);
            let task = task::spawn_blocking(move || readers.run(read));
            task.await.map_err(|error| StoreError::Statement(format!("a read ended early: {error}")))?
        };
        tokio::time::timeout(TIMEOUT, work).await.unwrap_or(Err(LATE))
    }

    fn run<T>(&self, read: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let connection = self.idle.lock().pop();
        let connection = match connection {
            Some(connection) => connection,
            None => self.database.reader()?,
        };
        connection.prepare_cached("BEGIN")?.raw_execute()?;
        let result = read(&mut Tx::new(&connection));
        // A connection that failed is closed, so that the next read opens a fresh one.
        let ended = connection.prepare_cached("COMMIT").and_then(|mut commit| commit.raw_execute());
        if ended.is_ok() && result.is_ok() {
            self.idle.lock().push(connection);
        }
        result
    }
}
