//! The SQLite file: its folder, lock, modes and pragmas, whose file it is, checkpoints and backups.

use super::{Database, Dialect, OpenError, Result, StoreError};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions as _, Connection as _};
use std::fmt::Display;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};
use url::Url;

/// Marks a file as ours (`PRAGMA application_id`): "chsq".
const APPLICATION_ID: i64 = 0x6368_7371;
/// How long the one writer, whom everybody waits for, may take; its own waits are bounded by its busy time-out.
pub(super) const TURN: Duration = Duration::from_secs(10);
/// Bytes in the log beyond which it is copied into the file; SQLite cuts a log that begins anew back to as many.
const COPY_AT: u64 = 32 * 1024 * 1024;
/// Bytes in the log from which on the log file is also cut back.
const CUT_AT: u64 = 128 * 1024 * 1024;

/// The file and the lock that keeps a second process out; the kernel releases it when the process ends.
/// (`locking_mode=EXCLUSIVE` would shut out our own readers.)
#[derive(Debug)]
pub(crate) struct DatabaseFile {
    path: PathBuf,
    /// A connection for checkpoints: in the writing one they would stall every caller.
    checkpoints: AnyPool,
    lock: parking_lot::Mutex<Option<File>>,
}

/// Makes folder and file, takes the lock and opens the connections.
pub(super) async fn open(path: &Path, synchronous: bool, readers: u32) -> Result<Database, OpenError> {
    let shown = path.display().to_string();
    let path = std::path::absolute(path).map_err(|error| OpenError::unusable(&shown, &error))?;
    let unusable = |reason: &dyn Display| OpenError::unusable(&shown, reason);
    if let Some(folder) = path.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| unusable(&format!("its folder {} can't be made: {error}", folder.display())))?;
    }
    let make = || OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    // The lock is that of the file itself, whichever link leads to it.
    let path = fs::canonicalize(&path).or_else(|_| make().and_then(|_| fs::canonicalize(&path)));
    let path = path.map_err(|error| unusable(&error))?;
    let lock = lock(&path)?;
    let made = OpenOptions::new().append(true).open(&path).and_then(|file| file.metadata());
    let made = made.map_err(|error| unusable(&error))?;
    let foreign = whose(&path, made.len() == 0).await.map_err(|error| unusable(&StoreError::from(error)))?;
    if let Some(reason) = foreign {
        return Err(unusable(&reason));
    }
    let sync = if synchronous { "FULL" } else { "OFF" };
    let writing = format!(
        "PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; PRAGMA synchronous = {sync}; PRAGMA wal_autocheckpoint = 0; \
         PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = {COPY_AT}; \
         CREATE TEMP TABLE due (id INTEGER PRIMARY KEY);"
    );
    let reading = "PRAGMA busy_timeout = 2000; PRAGMA query_only = 1; PRAGMA cache_size = -2048; PRAGMA temp_store = MEMORY;";
    let pool = |connections, pragmas| pool(&path, connections, pragmas).map_err(|error| unusable(&error));
    let (write, checkpoints) = (pool(1, writing.clone())?, pool(1, writing)?);
    let read = pool(readers, reading.to_owned())?;
    let mark = AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION_ID}"));
    let marked = sqlx::raw_sql(mark).execute(&write).await;
    marked.map_err(|error| unusable(&StoreError::from(error)))?;
    let file = Some(DatabaseFile { path, checkpoints, lock: Some(lock).into() });
    let kept = Default::default();
    Ok(Database { dialect: Dialect::Sqlite, shown, write, kept, read, file, address: None })
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&name);
    let path = path.display().to_string();
    let unusable = |error: io::Error| OpenError::unusable(&path, &format!("its lock file: {error}"));
    let file = file.map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse { path }),
        Err(fs::TryLockError::Error(error)) => Err(unusable(error)),
    }
}

/// sqlx's address of the file, whose path may hold anything and be relative.
fn address(path: &Path, mode: &str) -> Result<AnyConnectOptions, sqlx::Error> {
    let path = Url::from_file_path(std::path::absolute(path)?);
    let path = path.map_err(|()| sqlx::Error::Configuration("the path has no address".into()))?;
    let address = format!("sqlite://{}?mode={mode}", path.path());
    Ok(address.parse::<AnyConnectOptions>()?.disable_statement_logging())
}

/// Never makes a file, so that one which has vanished stays noticed.
fn pool(path: &Path, connections: u32, pragmas: String) -> Result<AnyPool, sqlx::Error> {
    let options = AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(TURN)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(move |connection, _| {
            let pragmas = pragmas.clone();
            Box::pin(async move { sqlx::raw_sql(AssertSqlSafe(pragmas)).execute(connection).await.map(drop) })
        });
    Ok(options.connect_lazy_with(address(path, "rw")?))
}

/// Says whose file it is, if it is not ours.
async fn whose(path: &Path, empty: bool) -> Result<Option<String>, sqlx::Error> {
    if empty {
        return Ok(None);
    }
    let mut connection = AnyConnection::connect_with(&address(path, "ro")?).await?;
    let id: i64 = match sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut connection).await {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("26") => {
            return Ok(Some("it is not an SQLite database: set store.url to another file".to_owned()));
        }
        other => other?,
    };
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name LIMIT 5";
    let names: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut connection).await?;
    connection.close().await?;
    Ok((id != APPLICATION_ID && !names.is_empty()).then(|| {
        let names = names.join(", ");
        format!("it is another program's database (application id {id}, tables {names}): set store.url to another file")
    }))
}

impl DatabaseFile {
    /// Bytes free for the file on its disk.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(self.path.parent()?).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Copies the log into the file once it is long. The bulk is copied beside running commits, the rest while
    /// the writing connection is held for a moment, so that the next commit starts the log from its beginning.
    pub(super) async fn checkpoint(&self, database: &Database) -> Result<()> {
        let log = PathBuf::from(format!("{}-wal", self.path.display()));
        let bytes = fs::metadata(&log).map_or(0, |metadata| metadata.len());
        if bytes <= COPY_AT {
            return Ok(());
        }
        let mut connection = self.checkpoints.acquire().await?;
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_all(&mut *connection).await?;
        let _held = database.writer().await?;
        // Cutting waits for readers; those that are long are waited for by trying again.
        let rest = if bytes < CUT_AT {
            "PRAGMA wal_checkpoint(PASSIVE)"
        } else {
            "PRAGMA busy_timeout = 20; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout = 2000"
        };
        sqlx::raw_sql(rest).fetch_all(&mut *connection).await.map(drop).map_err(StoreError::from)
    }

    /// Closes the last connections, and lets another process open the file.
    pub(super) async fn close(&self, write: &AnyPool) {
        self.checkpoints.close().await;
        write.close().await;
        *self.lock.lock() = None;
    }
}

/// Copies a live file into a new one of mode 0600.
pub(super) async fn backup(path: &Path, to: &Path) -> Result<(), OpenError> {
    let shown = to.display().to_string();
    let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(to);
    let made = made.map_err(|error| OpenError::unusable(&shown, &error))?;
    let copy = async {
        let mut connection = AnyConnection::connect_with(&address(path, "ro")?).await?;
        sqlx::query("VACUUM INTO $1").bind(&shown).execute(&mut connection).await?;
        made.sync_all()?;
        connection.close().await
    };
    copy.await.map_err(|error: sqlx::Error| {
        let _ = fs::remove_file(to);
        OpenError::unusable(&path.display().to_string(), &StoreError::from(error))
    })
}

/// How often the log's length is looked at.
pub(super) const CHECKPOINT_EVERY: Duration = Duration::from_millis(250);
/// After a checkpoint that failed.
pub(super) const CHECKPOINT_AGAIN: Duration = Duration::from_secs(5);
