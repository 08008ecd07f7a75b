//! Settings of the store, of the queue and of retries.

use crate::store::postgres;
use chassis_telemetry::settings::{between, duration, number};
use conf::Conf;
use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;
use std::{path::PathBuf, str::FromStr, time::Duration};

/// Where everything durable is kept.
#[derive(Conf, Clone, Debug)]
#[conf(validation_predicate = StoreConfig::check)]
pub struct StoreConfig {
    /// `sqlite://data/x.db` (relative to the working directory), `sqlite:///data/x.db` (absolute), or `postgres://user@host/database`.
    #[arg(env, default_value = "sqlite://data/service.db", value_parser = StoreUrl::from_str)]
    pub url: StoreUrl,
    /// File with the password for PostgreSQL, read at each start.
    #[arg(env)]
    pub password_file: Option<PathBuf>,
    /// Connections to PostgreSQL that write.
    #[arg(env, default_value = "8", value_parser = between("2", "100", number))]
    pub max_connections: u32,
    /// Connections that only read.
    #[arg(env, default_value = "4", value_parser = between("1", "100", number))]
    pub max_readers: u32,
}

/// The address of a database.
#[derive(Clone, Debug)]
pub enum StoreUrl {
    /// An SQLite file. `?synchronous=off` is for measuring only: a power cut then loses acknowledged jobs.
    Sqlite { path: PathBuf, synchronous: bool },
    /// A PostgreSQL URL, which may hold a password.
    Postgres(SecretString),
}

/// How much the queue holds and does at once.
#[derive(Conf, Clone, Debug)]
pub struct QueueConfig {
    /// Unfinished jobs that are due; above it new ones are refused (urgent ones a tenth later).
    #[arg(env, default_value = "100000", value_parser = between("1", "100000000", number))]
    pub max_backlog: usize,
    /// Jobs that are due later; above it new ones are refused.
    #[arg(env, default_value = "10000000", value_parser = between("1", "1000000000", number))]
    pub max_scheduled: usize,
    /// Attempts in flight at once, for each channel.
    #[arg(env, default_value = "32", value_parser = between("1", "10000", number))]
    pub workers: usize,
    /// How long finished jobs are kept.
    #[arg(env, default_value = "720h", value_parser = between("1s", "3650d", duration))]
    pub retention: Duration,
}

/// When a failed attempt is repeated: exponentially later, with full jitter.
#[derive(Conf, Clone, Debug)]
#[conf(validation_predicate = RetryConfig::check)]
pub struct RetryConfig {
    /// Attempts of one job, the first included; then it has failed.
    #[arg(env, default_value = "16", value_parser = between("1", "1000", number))]
    pub max_attempts: u32,
    /// Upper bound of the delay before the second attempt; it doubles with each.
    #[arg(env, default_value = "5s", value_parser = between("1ms", "24h", duration))]
    pub base_delay: Duration,
    /// Upper bound of every delay.
    #[arg(env, default_value = "1h", value_parser = between("1ms", "24h", duration))]
    pub max_delay: Duration,
    /// After an attempt whose effect is unknown: `retry` (same id, costs an attempt) or `hold` (a person decides).
    #[arg(env, default_value = "retry")]
    pub on_unknown: OnUnknown,
    /// Retries after unknown outcomes before the job waits for a person.
    #[arg(env, default_value = "3", value_parser = between("0", "1000", number))]
    pub max_unknown: u32,
}

/// What follows an attempt whose effect is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnknown {
    /// Another attempt with the same id.
    Retry,
    /// A person decides.
    Hold,
}

impl FromStr for OnUnknown {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "retry" => Ok(Self::Retry),
            "hold" => Ok(Self::Hold),
            _ => Err("must be retry or hold"),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            text.parse::<PgConnectOptions>().map_err(|_| "must be postgres://user@host:port/database")?;
            return Ok(Self::Postgres(text.into()));
        }
        let rest = text.strip_prefix("sqlite://");
        let (path, synchronous) = match rest.and_then(|rest| rest.strip_suffix("?synchronous=off")) {
            Some(path) => (Some(path), false),
            None => (rest, true),
        };
        match path.filter(|path| !path.is_empty() && !path.ends_with('/')) {
            Some(path) if path.contains(|c: char| "?#%".contains(c) || c.is_control()) => {
                Err("must be a plain path after sqlite://; its one parameter is ?synchronous=off")
            }
            Some(":memory:") => Err("must be a file: what is in memory does not outlive the process"),
            Some(path) if path.starts_with('~') || path.contains('$') => {
                Err("must be a path without ~ and $, which only a shell replaces: sqlite:///absolute/file.db")
            }
            Some(path) => Ok(Self::Sqlite { path: path.into(), synchronous }),
            None => Err("must be sqlite://relative/file.db, sqlite:///absolute/file.db or postgres://…"),
        }
    }
}

impl StoreConfig {
    fn check(&self) -> Result<(), String> {
        match (&self.url, &self.password_file) {
            (StoreUrl::Postgres(url), file) => postgres::address(url, file.as_deref()).map(drop),
            (_, None) => Ok(()),
            _ => Err("store.password_file is for PostgreSQL; remove it or set store.url to one".to_owned()),
        }
    }
}

impl RetryConfig {
    fn check(&self) -> Result<(), &'static str> {
        let rising = self.base_delay <= self.max_delay;
        rising.then_some(()).ok_or("retry.base_delay must not exceed retry.max_delay; lower it or raise that")
    }
}
