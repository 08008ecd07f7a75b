//! PostgreSQL: the address with its password, what every connection is checked for, and the server's clock.

use super::{Database, Dialect, OpenError, StoreError};
use crate::StoreConfig;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{AnyConnection, AnyPool, ConnectOptions as _, Connection as _};
use std::{fs, path::Path};
use tokio::time::timeout;

/// Bounds what a slow or vanished server can hold up; the first statement of every connection. Plans are made once, and not
/// compiled: that of a dispatcher's turn takes longer to make, or with millions of jobs to compile, than to run.
const SETTINGS: &str = "SET statement_timeout = '5s'; SET lock_timeout = '2s'; \
    SET idle_in_transaction_session_timeout = '10s'; SET default_transaction_isolation = 'read committed'; \
    SET plan_cache_mode = force_generic_plan; SET jit = off";

/// Opens the pools, and refuses a server that acknowledges commits before they are durable.
pub(super) async fn open(url: &SecretString, config: &StoreConfig) -> Result<Database, OpenError> {
    let options = address(url, config.password_file.as_deref())
        .map_err(|reason| OpenError::unusable("PostgreSQL", &reason))?;
    let shown = format!("PostgreSQL at {}", options.database_url.host_str().unwrap_or("localhost"));
    let connect = |pool: AnyPoolOptions| pool.connect_lazy_with(options.clone());
    // What writes is closed where it is given back in the middle of a call; who reads may just leave.
    let readers = pool(config.max_readers).after_release(|reader, _| Box::pin(still_answers(reader)));
    let (write, read) = (connect(pool(config.max_connections)), connect(readers));
    check_durable(&write).await.map_err(|reason| OpenError::unusable(&shown, &reason))?;
    let (dialect, kept) = (Dialect::Postgres, Default::default());
    Ok(Database { dialect, shown, write, kept, read, file: None, address: Some(options) })
}

/// sqlx's options for the URL, with the password from a file if there is one.
pub(crate) fn address(url: &SecretString, password: Option<&Path>) -> Result<AnyConnectOptions, String> {
    let parsed = url.expose_secret().parse::<AnyConnectOptions>();
    let mut options = parsed.map_err(|_| "store.url is no valid address".to_owned())?;
    if let Some(file) = password {
        let text = fs::read_to_string(file);
        let text = text.map_err(|error| format!("store.password_file {}: {error}", file.display()))?;
        let set = options.database_url.set_password(Some(text.trim_matches(['\u{feff}', '\r', '\n'])));
        set.map_err(|()| "store.url has no host that a password could be for".to_owned())?;
    }
    Ok(options.disable_statement_logging())
}

/// A pool whose connections are checked when they are made, and again before each use.
fn pool(connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(super::PATIENCE)
        .after_connect(|connection, _| Box::pin(check(connection)))
}

/// The pool would wait without end for the answer to what was asked before a server or a firewall forgot the connection.
async fn still_answers(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    let silent = |_| sqlx::Error::Protocol("no answer".to_owned());
    timeout(super::PATIENCE, connection.ping()).await.map_err(silent)?.map(|()| true)
}

/// A server in recovery (a standby, or the old primary after a fail-over) is refused: it is not the one that writes.
async fn check(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(SETTINGS).execute(&mut *connection).await?;
    let recovering: bool = sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(connection).await?;
    if recovering { Err(sqlx::Error::Protocol("the server is in recovery".to_owned())) } else { Ok(()) }
}

async fn check_durable(pool: &AnyPool) -> Result<(), String> {
    const SQL: &str = "SELECT current_setting('fsync'), current_setting('synchronous_commit')";
    let row: Result<(String, String), _> = sqlx::query_as(SQL).fetch_one(pool).await;
    let (fsync, commit) = row.map_err(|error| StoreError::from(error).to_string())?;
    if fsync == "off" || commit == "off" {
        return Err(format!(
            "fsync is {fsync} and synchronous_commit is {commit}: both must be on, or acknowledged jobs can be lost"
        ));
    }
    Ok(())
}

/// The server's time in Unix ms.
pub(super) async fn server_time(connection: &mut AnyConnection) -> Result<i64, sqlx::Error> {
    const SQL: &str = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";
    sqlx::query_scalar(SQL).fetch_one(connection).await
}

/// Where processes tell each other that there are jobs.
pub(crate) const CHANNEL: &str = "chassis_queue";

/// A connection that hears what is said on [`CHANNEL`], and reconnects by itself once.
pub(super) async fn listener(options: &AnyConnectOptions) -> Result<PgListener, sqlx::Error> {
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(super::PATIENCE);
    let mut listener = PgListener::connect_with(&pool.connect_lazy(options.database_url.as_str())?).await?;
    listener.listen(CHANNEL).await?;
    Ok(listener)
}
