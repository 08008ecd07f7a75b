//! The database: opening it, transactions, readers, and whether it works.

mod clock;
mod error;
mod migrate;
mod postgres;
mod sqlite;

pub use error::{OpenError, StoreError};
pub use migrate::{Component, Migration};
pub(crate) use postgres::CHANNEL;

use crate::{JobId, StoreConfig, StoreUrl, id::IdMaker, schema};
use chassis_telemetry::names;
use clock::Clock;
use sqlx::{
    Any, AnyConnection, AnyPool, AssertSqlSafe, Row as _,
    any::{AnyConnectOptions, AnyRow},
    pool::PoolConnection,
};
use std::{
    ops::{Deref, DerefMut},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tracing::Span;

/// How long a connection, or a commit on PostgreSQL, is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// How often a store that failed is tried again.
const PROBE_EVERY: Duration = Duration::from_millis(250);

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dialect: Dialect,
    /// On SQLite one connection: the one writer.
    write: AnyPool,
    read: AnyPool,
    file: Option<sqlite::DatabaseFile>,
    /// PostgreSQL's address, for listening.
    address: Option<AnyConnectOptions>,
    label: String,
    instance: i64,
    clock: Clock,
    ids: IdMaker,
    health: watch::Sender<Health>,
    /// Workers have jobs to look at.
    wake: Notify,
}

/// The two databases, where their SQL differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// Whether the store can be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Up,
    Down(&'static str),
}

/// A write transaction; dereferences to sqlx's connection: `sqlx::query(..).execute(&mut *tx)`. Dropped without
/// [`Tx::commit`], its connection is closed, which rolls it back.
pub struct Tx {
    connection: PoolConnection<Any>,
    store: Store,
    open: bool,
    /// Jobs were enqueued.
    pub(crate) wakes: bool,
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
        let Connected { shown, dialect, write, read, file, address } = connect(config).await?;
        let unusable =
            |reason: StoreError| OpenError::Unusable { store: shown.clone(), reason: reason.to_string() };
        let mut all = vec![schema::STORE, schema::QUEUE];
        all.extend(components);
        // The transaction needs a store; what the database says about itself is filled in afterwards.
        let store = Self::new(dialect, (write, read), file, address, Known::default());
        let mut tx = store.begin().await.map_err(unusable)?;
        migrate::migrate(&mut tx, dialect, &shown, &all).await?;
        let known = know(&mut tx, dialect, &all).await.map_err(|error| unusable(error.into()))?;
        tx.commit().await.map_err(unusable)?;
        let shared = Arc::into_inner(store.shared);
        let shared = shared.ok_or_else(|| unusable(StoreError::Unavailable("the store is closed")))?;
        Ok(Self::new(dialect, (shared.write, shared.read), shared.file, shared.address, known))
    }

    fn new(
        dialect: Dialect,
        (write, read): (AnyPool, AnyPool),
        file: Option<sqlite::DatabaseFile>,
        address: Option<AnyConnectOptions>,
        known: Known,
    ) -> Self {
        let shared = Shared {
            dialect,
            write,
            read,
            file,
            address,
            label: known.label,
            instance: known.instance.unwrap_or_default(),
            clock: known.server_time.map_or_else(Clock::of_machine, Clock::of_server),
            ids: IdMaker::new(known.highest_id, known.instance),
            health: watch::Sender::new(Health::Up),
            wake: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Begins a write transaction. On SQLite there is one at a time: keep it short.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        self.begin_on(self.writer().await?).await
    }

    async fn begin_on(&self, connection: PoolConnection<Any>) -> Result<Tx, StoreError> {
        let mut tx = Tx { connection, store: self.clone(), open: true, wakes: false, then: Vec::new() };
        let begin = if self.dialect() == Dialect::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
        tx.control(begin).await?;
        Ok(tx)
    }

    /// A connection for reading, under a CLIENT span of this name (`find latest report`).
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn read(&self, name: &'static str) -> Result<Reader, StoreError> {
        let span = tracing::info_span!(
            "read",
            otel.name = name,
            otel.kind = "client",
            otel.status_code = tracing::field::Empty,
            db.system.name = self.system(),
            db.operation.name = "SELECT",
        );
        let connection = self.reader().await.inspect_err(|_| {
            span.record(names::OTEL_STATUS_CODE, "ERROR");
        })?;
        Ok(Reader { connection, _span: span })
    }

    /// An id above all stored ones, followed by `parts - 1` more that are not given to anybody else.
    #[must_use]
    pub fn new_id(&self, parts: usize) -> JobId {
        self.shared.ids.allocate(parts, self.shared.clock.steady())
    }

    /// Now, in Unix milliseconds: the server's clock on PostgreSQL.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.shared.clock.wall()
    }

    /// The short id that is kept in the store: the label `store` of metrics.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.shared.label
    }

    /// `sqlite` or `postgresql`.
    #[must_use]
    pub fn system(&self) -> &'static str {
        match self.dialect() {
            Dialect::Sqlite => "sqlite",
            Dialect::Postgres => "postgresql",
        }
    }

    /// Whether the store can be used, for readiness.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    /// Closes the connections, once those in use are given back.
    pub async fn close(&self) {
        self.shared.read.close().await;
        if let Some(file) = &self.shared.file {
            file.close().await;
        }
        self.shared.write.close().await;
        self.shared.file.iter().for_each(sqlite::DatabaseFile::unlock);
    }

    /// Copies a live SQLite store into a new file.
    ///
    /// # Errors
    /// Not SQLite, the file exists, or the copy failed.
    pub async fn backup(config: &StoreConfig, to: &Path) -> Result<(), OpenError> {
        sqlx::any::install_default_drivers();
        match &config.url {
            StoreUrl::Sqlite { path, .. } => sqlite::backup(path, to).await,
            StoreUrl::Postgres(_) => Err(OpenError::Unusable {
                store: "PostgreSQL".to_owned(),
                reason: "back it up with pg_dump or pg_basebackup".to_owned(),
            }),
        }
    }

    /// Moves the wall clock, for tests.
    #[doc(hidden)]
    pub fn shift_wall_clock(&self, ms: i64) {
        self.shared.clock.shift_wall(ms);
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.shared.dialect
    }

    /// Time that rises evenly, for delays.
    pub(crate) fn steady_ms(&self) -> i64 {
        self.shared.clock.steady()
    }

    pub(crate) fn wake(&self) -> &Notify {
        &self.shared.wake
    }

    pub(crate) fn free_bytes(&self) -> Option<u64> {
        self.shared.file.as_ref()?.free_bytes()
    }

    pub(crate) fn outage(&self) -> Option<&'static str> {
        match *self.shared.health.borrow() {
            Health::Up => None,
            Health::Down(reason) => Some(reason),
        }
    }

    /// A connection for reading that needs no span.
    pub(crate) async fn reader(&self) -> Result<PoolConnection<Any>, StoreError> {
        self.shared.read.acquire().await.map_err(|error| self.failed(error.into()))
    }

    /// A transaction that only reads, all of it in one snapshot.
    pub(crate) async fn snapshot(&self) -> Result<Tx, StoreError> {
        let connection = self.reader().await?;
        let mut tx = Tx { connection, store: self.clone(), open: true, wakes: false, then: Vec::new() };
        let begin =
            if self.dialect() == Dialect::Sqlite { "BEGIN" } else { "BEGIN ISOLATION LEVEL REPEATABLE READ" };
        tx.control(begin).await?;
        Ok(tx)
    }

    /// What other processes of the store say with `NOTIFY`; `None` on SQLite, which has no others.
    pub(crate) async fn listener(&self) -> Option<Result<sqlx::postgres::PgListener, sqlx::Error>> {
        Some(postgres::listener(self.shared.address.as_ref()?).await)
    }

    /// This process's number among those that opened the store.
    pub(crate) fn instance(&self) -> i64 {
        self.shared.instance
    }

    /// A connection that writes. Whoever waited for it while the store failed need not find that out again.
    pub(crate) async fn writer(&self) -> Result<PoolConnection<Any>, StoreError> {
        let connection = self.shared.write.acquire().await.map_err(|error| self.failed(error.into()))?;
        self.outage().map_or(Ok(connection), |reason| Err(StoreError::Unavailable(reason)))
    }

    /// Runs one call that is a transaction of its own. An error leaves the connection clean, or closes it.
    pub(crate) async fn one_call(
        &self,
        query: sqlx::query::Query<'_, Any, sqlx::any::AnyArguments>,
    ) -> Result<Vec<AnyRow>, StoreError> {
        let mut connection = self.writer().await?;
        let called = query.fetch_all(&mut *connection);
        let result = match self.dialect() {
            // SQLite's thread finishes what it was given: it bounds itself by its busy time-out.
            Dialect::Sqlite => Ok(called.await),
            Dialect::Postgres => timeout(PATIENCE, called).await,
        };
        let error = match result {
            Ok(Ok(rows)) => return Ok(rows),
            Ok(Err(error)) => StoreError::from(error),
            Err(_) => StoreError::Unavailable(error::SILENT),
        };
        if self.dialect() == Dialect::Postgres
            || sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await.is_err()
        {
            connection.close_on_drop();
        }
        Err(self.failed(error.in_commit()))
    }

    /// Notes an error that makes the store unusable.
    pub(crate) fn failed(&self, error: StoreError) -> StoreError {
        if let Some(reason) = error.outage() {
            let down = Health::Down(reason);
            if self.shared.health.send_if_modified(|health| std::mem::replace(health, down) != down) {
                tracing::error!(reason, "the store can't commit");
            }
        }
        error
    }

    /// Keeps the store in shape: probes it after a failure until it works again, and copies SQLite's log into its
    /// file. Never ends.
    pub(crate) async fn tend(&self) {
        let probing = async {
            let mut health = self.health();
            loop {
                if health.wait_for(|health| *health != Health::Up).await.is_err() {
                    return;
                }
                sleep(PROBE_EVERY).await;
                if self.probe().await.is_ok() {
                    self.shared.health.send_replace(Health::Up);
                    self.wake().notify_one();
                    tracing::info!("the store commits again");
                }
            }
        };
        let checkpoints = async {
            let Some(file) = &self.shared.file else { return };
            loop {
                sleep(sqlite::CHECKPOINT_EVERY).await;
                if let Err(error) = file.checkpoint(&self.shared.write).await {
                    tracing::warn!(%error, "a checkpoint failed; the log grows until one succeeds");
                    sleep(Duration::from_secs(5)).await;
                }
            }
        };
        tokio::join!(probing, checkpoints);
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let mut tx = self.begin_on(self.shared.write.acquire().await?).await?;
        sqlx::query("UPDATE store SET probed_at = $1").bind(self.now_ms()).execute(&mut *tx).await?;
        tx.commit().await
    }

    /// Takes over the server's time, and gives for how long the server has been up.
    pub(crate) async fn synchronise(&self, connection: &mut AnyConnection) -> Result<Duration, StoreError> {
        let (now, up) = postgres::server_time(connection).await?;
        self.shared.clock.set(now);
        Ok(Duration::from_millis(up.max(0) as u64))
    }
}

/// What the database says about itself.
#[derive(Default)]
struct Known {
    label: String,
    highest_id: i64,
    instance: Option<i64>,
    server_time: Option<i64>,
}

struct Connected {
    shown: String,
    dialect: Dialect,
    write: AnyPool,
    read: AnyPool,
    file: Option<sqlite::DatabaseFile>,
    address: Option<AnyConnectOptions>,
}

async fn connect(config: &StoreConfig) -> Result<Connected, OpenError> {
    match &config.url {
        StoreUrl::Sqlite { path, synchronous } => {
            let opened = sqlite::open(path, *synchronous, config.max_readers).await?;
            let shown = path.display().to_string();
            let sqlite::Opened { file, write, read } = opened;
            let (file, address) = (Some(file), None);
            Ok(Connected { shown, dialect: Dialect::Sqlite, write, read, file, address })
        }
        StoreUrl::Postgres(url) => {
            let options: AnyConnectOptions = postgres::address(url, config.password_file.as_deref())?;
            let write = postgres::pool(&options, config.max_connections);
            let read = postgres::pool(&options, config.max_readers);
            let shown = format!("PostgreSQL at {}", options.database_url.host_str().unwrap_or("localhost"));
            postgres::check_durable(&write)
                .await
                .map_err(|reason| OpenError::Unusable { store: shown.clone(), reason })?;
            let (file, address) = (None, Some(options));
            Ok(Connected { shown, dialect: Dialect::Postgres, write, read, file, address })
        }
    }
}

async fn know(tx: &mut Tx, dialect: Dialect, components: &[Component]) -> Result<Known, sqlx::Error> {
    const LABEL: &str = "INSERT INTO store (id, label, probed_at) VALUES (1, $1, 0) ON CONFLICT DO NOTHING";
    sqlx::query(LABEL).bind(format!("{:08x}", rand::random::<u32>())).execute(&mut **tx).await?;
    let label = sqlx::query("SELECT label FROM store").fetch_one(&mut **tx).await?.try_get(0)?;
    let mut highest_id = 0;
    for table in components.iter().flat_map(|component| component.ids) {
        let highest = AssertSqlSafe(format!("SELECT coalesce(max(id), 0) FROM {table}"));
        highest_id = highest_id.max(sqlx::query(highest).fetch_one(&mut **tx).await?.try_get(0)?);
    }
    let mut known = Known { label, highest_id, ..Known::default() };
    if dialect == Dialect::Postgres {
        let instance = "UPDATE store SET instances = instances + 1 RETURNING instances";
        known.instance = Some(sqlx::query(instance).fetch_one(&mut **tx).await?.try_get(0)?);
        known.server_time = Some(postgres::server_time(tx).await?.0);
    }
    Ok(known)
}

impl Dialect {
    /// A component's statements in this dialect.
    fn schema(self, sql: &str) -> String {
        let (id, bytes, without_rowid) = match self {
            Self::Sqlite => ("INTEGER PRIMARY KEY", "BLOB", "WITHOUT ROWID"),
            Self::Postgres => ("BIGINT PRIMARY KEY", "BYTEA", ""),
        };
        sql.replace("{id}", id).replace("{bytes}", bytes).replace("{without_rowid}", without_rowid)
    }
}

impl Tx {
    /// Commits.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn commit(mut self) -> Result<(), StoreError> {
        self.control("COMMIT").await.map_err(StoreError::in_commit)?;
        self.open = false;
        std::mem::take(&mut self.then).into_iter().for_each(|then| then());
        if self.wakes {
            self.store.wake().notify_one();
        }
        Ok(())
    }

    /// Rolls back, and gives the connection back at once.
    pub async fn rollback(mut self) {
        self.open = self.control("ROLLBACK").await.is_err();
    }

    async fn control(&mut self, sql: &'static str) -> Result<(), StoreError> {
        let done = sqlx::query(sql).execute(&mut *self.connection);
        let done = match self.store.dialect() {
            Dialect::Sqlite => Ok(done.await),
            Dialect::Postgres => timeout(PATIENCE, done).await,
        };
        let done = done.map_err(|_| StoreError::Unavailable(error::SILENT));
        done.and_then(|done| Ok(done?)).map(drop).map_err(|error| self.store.failed(error))
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if self.open {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for Tx {
    type Target = AnyConnection;
    fn deref(&self) -> &AnyConnection {
        &self.connection
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.connection
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
