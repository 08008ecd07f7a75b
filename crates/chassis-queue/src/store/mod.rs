//! The database: opening it, transactions, readers, and whether it works.

mod clock;
mod error;
mod migrate;
pub(crate) mod postgres;
mod sqlite;

pub use error::{OpenError, StoreError};
pub use migrate::{Component, Migration};
pub(crate) use postgres::CHANNEL;

use crate::{JobId, Result, StoreConfig, StoreUrl, id::IdMaker, sql::Query};
use clock::Clock;
use sqlx::any::{AnyConnectOptions, AnyRow};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgListener;
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Executor as _};
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::{Arc, atomic::Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard, watch};
use tokio::time::{sleep, timeout};
use tracing::Span;

/// How long a connection, or a commit on PostgreSQL, is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a store that failed is tried again.
const PROBE_EVERY: Duration = Duration::from_millis(250);

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    database: Database,
    label: String,
    clock: Clock,
    ids: IdMaker,
    /// Why the store can't be used now.
    outage: watch::Sender<Option<&'static str>>,
}

/// The connections.
#[derive(Debug)]
struct Database {
    dialect: Dialect,
    shown: String,
    /// On SQLite one connection: the one writer.
    write: AnyPool,
    /// It stays out of the pool, which would ask its thread whether it still works each time before it lends it again:
    /// everybody who waits would wait for that too. Never dropped: it needs a runtime, which has gone at the end of a
    /// process that did not close its store.
    kept: std::mem::ManuallyDrop<Slot>,
    read: AnyPool,
    file: Option<sqlite::DatabaseFile>,
    /// PostgreSQL's address, for listening.
    address: Option<AnyConnectOptions>,
}

/// A connection of a pool.
#[derive(Debug)]
pub(crate) struct Connection {
    connection: PoolConnection<Any>,
    /// It was left in the middle of a transaction, and is to be closed.
    spoilt: bool,
}

type Slot = Arc<Mutex<Option<Connection>>>;
/// A connection while somebody uses it.
type Lent = OwnedMappedMutexGuard<Option<Connection>, Connection>;

/// The two databases, where their SQL differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// A write transaction; dereferences to sqlx's connection: `sqlx::query(..).execute(&mut *tx)`. Dropped without
/// [`Tx::commit`], its connection is closed, which rolls it back.
pub struct Tx {
    connection: Lent,
    store: Store,
    open: bool,
    /// Runs after the commit.
    pub(crate) then: Vec<Box<dyn FnOnce() + Send>>,
}

/// A connection that only reads, under a CLIENT span that ends with it: `sqlx::query(..).fetch_all(&mut *reader)`.
pub struct Reader {
    connection: PoolConnection<Any>,
    _span: Span,
}

impl Store {
    /// Opens the database, makes it if it is new, and brings every component's schema to its newest version.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(config: &StoreConfig, components: &[Component]) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let database = match &config.url {
            StoreUrl::Sqlite { path, synchronous } => {
                sqlite::open(path, *synchronous, config.max_readers).await?
            }
            StoreUrl::Postgres(url) => postgres::open(url, config).await?,
        };
        let mut all = vec![migrate::STORE, migrate::QUEUE];
        all.extend(components);
        let unusable = |error: sqlx::Error| OpenError::unusable(&database.shown, &StoreError::from(error));
        let mut connection = database.write.acquire().await.map_err(unusable)?;
        connection.execute(database.dialect.begin()).await.map_err(unusable)?;
        migrate::migrate(&mut connection, database.dialect, &database.shown, &all).await?;
        let new = format!("{:08x}", rand::random::<u32>());
        let opened = sqlx::query_as(OPENED).bind(new).fetch_one(&mut *connection).await;
        let (label, instance): (String, i64) = opened.map_err(unusable)?;
        let highest = highest_id(&mut connection, &all).await.map_err(unusable)?;
        let server = match database.dialect {
            Dialect::Sqlite => None,
            Dialect::Postgres => Some(postgres::server_time(&mut connection).await.map_err(unusable)?),
        };
        let instance = server.map(|_| instance);
        connection.execute("COMMIT").await.map_err(unusable)?;
        let (clock, ids) = (Clock::new(server), IdMaker::new(highest, instance));
        Ok(Self(Arc::new(Shared { database, label, clock, ids, outage: watch::Sender::new(None) })))
    }

    /// Begins a write transaction. On SQLite there is one at a time: keep it short.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn begin(&self) -> Result<Tx> {
        self.begin_on(self.writer().await?, self.dialect().begin()).await
    }

    async fn begin_on(&self, connection: Lent, begin: &'static str) -> Result<Tx> {
        let mut tx = Tx { connection, store: self.clone(), open: true, then: Vec::new() };
        tx.control(begin).await?;
        Ok(tx)
    }

    /// A connection for reading, under a CLIENT span of this name (`find latest report`).
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn read(&self, name: &'static str) -> Result<Reader> {
        Ok(Reader { _span: self.read_span(name), connection: self.reader().await? })
    }

    /// A CLIENT span of this name, for what is read together with others.
    pub fn read_span(&self, name: &'static str) -> Span {
        tracing::info_span!(
            "read",
            otel.name = name,
            otel.kind = "client",
            otel.status_code = tracing::field::Empty,
            db.system.name = self.system(),
            db.operation.name = "SELECT",
            db.query.summary = name
        )
    }

    /// An id above all stored ones, followed by `parts - 1` more that are not given to anybody else.
    pub fn new_id(&self, parts: usize) -> JobId {
        self.0.ids.allocate(parts, self.0.clock.steady())
    }

    /// Now, in Unix milliseconds: the server's clock on PostgreSQL.
    pub fn now_ms(&self) -> i64 {
        self.0.clock.wall()
    }

    /// The short id that is kept in the store: the label `store` of metrics.
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// `sqlite` or `postgresql`.
    pub fn system(&self) -> &'static str {
        self.dialect().pick("sqlite", "postgresql")
    }

    /// Why the store can't be used, for readiness; `None` while it can.
    pub fn outages(&self) -> watch::Receiver<Option<&'static str>> {
        self.0.outage.subscribe()
    }

    /// Closes the connections, once those in use are given back, and lets go of the file.
    pub async fn close(&self) {
        let Database { read, write, kept, file, .. } = &self.0.database;
        read.close().await;
        *kept.lock().await = None;
        match file {
            Some(file) => file.close(write).await,
            None => write.close().await,
        }
    }

    /// Copies a live SQLite store into a new file.
    ///
    /// # Errors
    /// Not SQLite, the file exists, or the copy failed.
    pub async fn backup(config: &StoreConfig, to: &Path) -> Result<(), OpenError> {
        sqlx::any::install_default_drivers();
        match &config.url {
            StoreUrl::Sqlite { path, .. } => sqlite::backup(path, to).await,
            StoreUrl::Postgres(_) => {
                Err(OpenError::unusable("PostgreSQL", &"back it up with pg_dump or pg_basebackup"))
            }
        }
    }

    /// Moves the wall clock, for tests.
    #[doc(hidden)]
    pub fn shift_wall_clock(&self, ms: i64) {
        self.0.clock.shift.fetch_add(ms, Ordering::Relaxed);
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.0.database.dialect
    }

    /// Time that rises evenly, for delays.
    pub(crate) fn steady_ms(&self) -> i64 {
        self.0.clock.steady()
    }

    pub(crate) fn free_bytes(&self) -> Option<u64> {
        self.0.database.file.as_ref()?.free_bytes()
    }

    pub(crate) fn outage(&self) -> Option<&'static str> {
        *self.0.outage.borrow()
    }

    /// A transaction that only reads, all of it in one snapshot.
    pub(crate) async fn snapshot(&self) -> Result<Tx> {
        let begin = self.dialect().pick("BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ");
        self.begin_on(lend(Slot::default().lock_owned().await, &self.0.database.read).await?, begin).await
    }

    /// What other processes of the store say with `NOTIFY`; `None` on SQLite, which has no others.
    pub(crate) async fn listener(&self) -> Option<Result<PgListener, sqlx::Error>> {
        Some(postgres::listener(self.0.database.address.as_ref()?).await)
    }

    /// A connection for reading that needs no span.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn reader(&self) -> Result<PoolConnection<Any>> {
        // Readers in plenty are no outage.
        Ok(self.0.database.read.acquire().await?)
    }

    /// A connection that writes. Fails at once if the store went down while the caller waited for it.
    pub(crate) async fn writer(&self) -> Result<Lent> {
        let connection = self.0.database.writer().await.map_err(|error| self.failed(error.into()))?;
        self.outage().map_or(Ok(connection), |reason| Err(StoreError::Unavailable(reason)))
    }

    /// Runs one call that is a transaction of its own. An error leaves the connection clean, or closes it.
    pub(crate) async fn one_call(&self, query: Query<'_>) -> Result<Vec<AnyRow>> {
        let mut connection = self.writer().await?;
        let called = self.bounded(query.fetch_all(&mut **connection)).await;
        let postgres = self.dialect() == Dialect::Postgres;
        if called.is_err() && (postgres || connection.execute("ROLLBACK").await.is_err()) {
            connection.spoil();
        }
        called.map_err(|error| self.failed(error.in_commit()))
    }

    /// Waits for PostgreSQL no longer than is decent. SQLite's thread finishes what it was given, and bounds itself by
    /// its busy time-out.
    ///
    /// # Errors
    /// Of the call, or that no answer came.
    pub async fn bounded<T>(&self, call: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T> {
        match self.dialect() {
            Dialect::Sqlite => Ok(call.await?),
            Dialect::Postgres => Ok(timeout(PATIENCE, call).await.map_err(|_| StoreError::SILENT)??),
        }
    }

    /// Bounds a whole transaction, somewhat longer than the server bounds one statement: a server that has vanished answers
    /// none of them.
    pub(crate) async fn transaction<T>(&self, calls: impl Future<Output = Result<T>>) -> Result<T> {
        let time = self.dialect().pick(Duration::MAX, Duration::from_secs(6));
        timeout(time, calls).await.unwrap_or(Err(StoreError::SILENT.in_commit()))
    }

    /// Notes an error that makes the store unusable.
    pub(crate) fn failed(&self, error: StoreError) -> StoreError {
        if let Some(reason) = error.outage()
            && self.0.outage.send_replace(Some(reason)) != Some(reason)
        {
            tracing::error!(reason, "the store can't commit");
        }
        error
    }

    /// Probes the store after a failure until it works again. Never ends.
    pub(crate) async fn keep_probing(&self) {
        let mut outages = self.outages();
        while outages.wait_for(Option::is_some).await.is_ok() {
            sleep(PROBE_EVERY).await;
            if self.probe().await.is_ok() {
                self.0.outage.send_replace(None);
                tracing::info!("the store commits again");
            }
        }
    }

    /// Copies SQLite's log into its file. Never ends on SQLite.
    pub(crate) async fn keep_checkpointing(&self) {
        let Some(file) = &self.0.database.file else { return };
        loop {
            sleep(sqlite::CHECKPOINT_EVERY).await;
            if let Err(error) = file.checkpoint(&self.0.database).await {
                tracing::warn!(%error, "a checkpoint failed; the log grows until one succeeds");
                sleep(sqlite::CHECKPOINT_AGAIN).await;
            }
        }
    }

    async fn probe(&self) -> Result<()> {
        let mut tx = self.begin_on(self.0.database.writer().await?, self.dialect().begin()).await?;
        sqlx::query("UPDATE store SET probed_at = $1").bind(self.now_ms()).execute(&mut *tx).await?;
        tx.commit().await
    }

    /// Takes over the server's time.
    pub(crate) async fn synchronise(&self, connection: &mut AnyConnection) -> Result<()> {
        self.0.clock.set(postgres::server_time(connection).await?);
        Ok(())
    }
}

/// Gives the store's label and this process's number among those that opened it. $1 the label of a new store.
const OPENED: &str = "INSERT INTO store (id, label, probed_at, instances) VALUES (1, $1, 0, 1)
    ON CONFLICT (id) DO UPDATE SET instances = store.instances + 1 RETURNING label, instances";

async fn highest_id(connection: &mut AnyConnection, components: &[Component]) -> Result<i64, sqlx::Error> {
    let mut highest = 0;
    for table in components.iter().flat_map(|component| component.ids) {
        let sql = AssertSqlSafe(format!("SELECT coalesce(max(id), 0) FROM {table}"));
        highest = highest.max(sqlx::query_scalar(sql).fetch_one(&mut *connection).await?);
    }
    Ok(highest)
}

impl Database {
    async fn writer(&self) -> Result<Lent, sqlx::Error> {
        let slot = self.dialect.pick(Arc::clone(&self.kept), Slot::default());
        let slot = timeout(sqlite::TURN, slot.lock_owned()).await;
        let mut slot = slot.map_err(|_| sqlx::Error::PoolTimedOut)?;
        slot.take_if(|kept| kept.spoilt);
        lend(slot, &self.write).await
    }
}

impl Connection {
    /// Closes it once it is given back, or, where it is kept, before its next use.
    fn spoil(&mut self) {
        self.connection.close_on_drop();
        self.spoilt = true;
    }
}

/// Lends the connection in a slot; an empty one gets one from the pool.
async fn lend(mut slot: OwnedMutexGuard<Option<Connection>>, pool: &AnyPool) -> Result<Lent, sqlx::Error> {
    if slot.is_none() {
        *slot = Some(Connection { connection: Box::pin(pool.acquire()).await?, spoilt: false });
    }
    OwnedMutexGuard::try_map(slot, Option::as_mut).map_err(|_| sqlx::Error::PoolClosed)
}

impl Dialect {
    /// What stands for this database.
    pub(crate) fn pick<T>(self, sqlite: T, postgres: T) -> T {
        match self {
            Self::Sqlite => sqlite,
            Self::Postgres => postgres,
        }
    }

    /// SQLite takes the write lock at once: a transaction that reads first could not get it later.
    fn begin(self) -> &'static str {
        self.pick("BEGIN IMMEDIATE", "BEGIN")
    }

    /// A component's statements in this dialect.
    fn schema(self, sql: &str) -> String {
        let sql = sql.replace("{id}", self.pick("INTEGER PRIMARY KEY", "BIGINT PRIMARY KEY"));
        let sql = sql.replace("{bytes}", self.pick("BLOB", "BYTEA"));
        sql.replace("{without_rowid}", self.pick("WITHOUT ROWID", ""))
    }
}

impl Tx {
    /// Commits.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn commit(mut self) -> Result<()> {
        self.control("COMMIT").await.map_err(StoreError::in_commit)?;
        self.open = false;
        std::mem::take(&mut self.then).into_iter().for_each(|then| then());
        Ok(())
    }

    /// Rolls back, and gives the connection back at once.
    pub async fn rollback(mut self) {
        self.open = self.control("ROLLBACK").await.is_err();
    }

    async fn control(&mut self, sql: &'static str) -> Result<()> {
        let done = self.store.bounded(sqlx::query(sql).execute(&mut **self.connection)).await;
        done.map(drop).map_err(|error| self.store.failed(error))
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if self.open {
            self.connection.spoil();
        }
    }
}

/// Lets sqlx use a connection of ours as one of its own.
macro_rules! connections {
    ($($name:ident)*) => {$(
        impl Deref for $name {
            type Target = AnyConnection;
            fn deref(&self) -> &AnyConnection {
                &self.connection
            }
        }

        impl DerefMut for $name {
            fn deref_mut(&mut self) -> &mut AnyConnection {
                &mut self.connection
            }
        }
    )*};
}

connections!(Tx Reader Connection);
