//! Opening the SQLite file: the lock beside it, the connections and their settings.

use super::{OpenError, StoreError};
use rusqlite::{Connection, OpenFlags, config::DbConfig};
use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a statement waits for a lock that another process holds before it fails.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Distinct statements kept prepared on a connection.
const STATEMENTS: usize = 64;

/// The file, and how it is synced.
#[derive(Clone, Debug)]
pub(super) struct Database {
    path: PathBuf,
    /// `false` only for measuring: a commit is then lost by a power cut.
    synchronous: bool,
}

/// One SQLite file has one process: a lock on a file beside it, released by the kernel when the process ends.
/// (`locking_mode=EXCLUSIVE` would shut out our own reading and checkpointing connections.)
#[derive(Debug)]
pub(super) struct InstanceLock {
    _file: File,
}

impl Database {
    /// Makes the folder, takes the lock and opens the writing connection, creating the file if it is new.
    pub(super) fn open(
        path: &Path,
        synchronous: bool,
    ) -> Result<(Self, InstanceLock, Connection), OpenError> {
        let database = Self { path: path.to_owned(), synchronous };
        let unusable = |reason: String| OpenError::Unusable { path: path.display().to_string(), reason };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)
                .map_err(|error| unusable(format!("its folder can't be made: {error}")))?;
        }
        let lock = database.lock()?;
        let connection = database
            .connect(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
            .map_err(|error| unusable(StoreError::from(error).to_string()))?;
        Ok((database, lock, connection))
    }

    fn lock(&self) -> Result<InstanceLock, OpenError> {
        let mut path = self.path.clone().into_os_string();
        path.push(".lock");
        let shown = self.path.display().to_string();
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(|error| {
                OpenError::Unusable { path: shown.clone(), reason: format!("its lock file: {error}") }
            })?;
        match file.try_lock() {
            Ok(()) => Ok(InstanceLock { _file: file }),
            Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse { path: shown }),
            Err(fs::TryLockError::Error(error)) => {
                Err(OpenError::Unusable { path: shown, reason: format!("its lock file: {error}") })
            }
        }
    }

    /// Another writing connection; never creates a file, so that one which has vanished stays noticed.
    pub(super) fn writer(&self) -> rusqlite::Result<Connection> {
        self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    /// A connection that can only read.
    pub(super) fn reader(&self) -> rusqlite::Result<Connection> {
        self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    /// Bytes free for the file on its disk.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        let folder =
            self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let stat = rustix::fs::statvfs(folder).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn connect(&self, flags: OpenFlags) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(&self.path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // Plans that hold for whatever is bound: without it many are made anew for each value, which costs more
        // than the read.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        if flags.contains(OpenFlags::SQLITE_OPEN_READ_ONLY) {
            connection.execute_batch("PRAGMA cache_size = -2048; PRAGMA temp_store = MEMORY;")?;
            return Ok(connection);
        }
        // Checkpoints run on a connection of their own: in the committer they would stall every caller.
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -8192; \
             PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 134217728;",
        )?;
        connection.execute_batch(if self.synchronous {
            "PRAGMA synchronous = FULL"
        } else {
            "PRAGMA synchronous = OFF"
        })?;
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::StatementStatus;

    #[test]
    fn a_statement_is_compiled_once_whatever_is_bound_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let (database, _lock, writer) = Database::open(&folder.path().join("s.db"), true).unwrap();
        // As after an ANALYZE, whose samples a plan would be made anew for.
        let table = "CREATE TABLE t (id BIGINT PRIMARY KEY, a TEXT, b BLOB); CREATE INDEX i ON t (a, id); \
                     INSERT INTO t VALUES (1, 'x', x'00'); ANALYZE;";
        writer.execute_batch(table).unwrap();
        let reader = database.reader().unwrap();
        let mut select =
            reader.prepare("SELECT id, a, b FROM t WHERE a = $1 ORDER BY id DESC LIMIT 1").unwrap();
        for bound in ["x", "y", "x", "z"] {
            select.raw_bind_parameter(1, bound).unwrap();
            let mut rows = select.raw_query();
            while rows.next().unwrap().is_some() {}
        }
        assert_eq!(select.get_status(StatementStatus::RePrepare), 0);
    }
}
