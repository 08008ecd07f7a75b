//! Checkpoints, on a thread and a connection of their own: in the committer they would stall callers.

use super::{StoreError, readers::Readers, sqlite::Database};
use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::{Connection, wal::CheckpointMode};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

/// Pages in the log from which on it is copied into the file: 4,096 bytes each, so 64 MB.
const PAGES: i32 = 16_384;

/// After a failure.
const PAUSE: Duration = Duration::from_secs(5);

/// Couples the committer and the checkpointing thread.
#[derive(Default)]
pub(super) struct Checkpointer {
    pages: Arc<AtomicI32>,
    /// Held during a commit, and for the short second half of a checkpoint.
    gate: Mutex<()>,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    due: bool,
    closed: bool,
}

impl Checkpointer {
    /// Learns the log's size from every commit on `connection`.
    pub(super) fn watch(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let pages = Arc::clone(&self.pages);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count| {
            pages.store(count, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(())
    }

    pub(super) fn gate(&self) -> MutexGuard<'_, ()> {
        self.gate.lock()
    }

    /// Called after each commit.
    pub(super) fn committed(&self) {
        if self.pages.load(Ordering::Relaxed) >= PAGES {
            let mut state = self.state.lock();
            if !state.due {
                state.due = true;
                self.wake.notify_one();
            }
        }
    }

    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_one();
    }

    /// Runs until [`Self::close`].
    pub(super) fn run(&self, database: &Database, readers: &Readers) {
        let mut connection = None;
        while self.wait() {
            if let Err(error) = self.checkpoint(&mut connection, database, readers) {
                tracing::warn!(%error, "a checkpoint failed; the log grows until one succeeds");
                connection = None;
                self.pause();
            }
        }
    }

    /// What failed is not tried again at every commit.
    fn pause(&self) {
        let mut state = self.state.lock();
        if !state.closed {
            self.wake.wait_for(&mut state, PAUSE);
        }
    }

    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while !state.due && !state.closed {
            self.wake.wait(&mut state);
        }
        state.due = false;
        !state.closed
    }

    /// The bulk is copied beside running commits; the rest while the committer waits a moment, so that
    /// its next commit finds everything copied and starts the log from its beginning again. That takes that nobody
    /// reads in a snapshot from before: those that look-ups keep are let go of.
    fn checkpoint(
        &self,
        kept: &mut Option<Connection>,
        database: &Database,
        readers: &Readers,
    ) -> Result<(), StoreError> {
        let connection = match kept {
            Some(connection) => connection,
            None => kept.insert(database.writer()?),
        };
        readers.let_go();
        connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE)?;
        let _gate = self.gate();
        readers.let_go();
        connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE)?;
        readers.let_go();
        self.pages.store(0, Ordering::Relaxed);
        Ok(())
    }
}
