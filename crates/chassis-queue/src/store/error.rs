//! What can go wrong in the store, as callers need to tell it apart.

use sqlx::error::DatabaseError;
use std::fmt::Display;

/// An error of the store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Nothing was stored: full, locked, damaged, unreachable … The reason is shown by `/readyz`.
    #[error("the store is unavailable: {0}")]
    Unavailable(&'static str),
    /// The store vanished during the commit: it may have been stored.
    #[error("the store vanished during the commit: {0}")]
    CommitUnknown(&'static str),
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
    TooNew { store: String, component: &'static str, found: i64, min_reader: i64, known: i64 },
}

impl OpenError {
    pub(super) fn unusable(store: &str, reason: &dyn Display) -> Self {
        Self::Unusable { store: store.to_owned(), reason: reason.to_string() }
    }
}

/// Reasons that leave open whether a commit was made.
const BROKE: &str = "the connection to the database broke";
const SILENT: &str = "the database did not answer in time";
const IO_ERROR: &str = "the disk reports an I/O error";
const SHUTS_DOWN: &str = "the server shuts down or starts";
const INTERNAL: &str = "the server reports an internal error";
const UNCERTAIN: [&str; 5] = [BROKE, SILENT, IO_ERROR, SHUTS_DOWN, INTERNAL];

impl StoreError {
    pub(crate) const SILENT: Self = Self::Unavailable(SILENT);

    /// The same error, where it came from a commit.
    pub(crate) fn in_commit(self) -> Self {
        match self {
            Self::Unavailable(reason) if UNCERTAIN.contains(&reason) => Self::CommitUnknown(reason),
            other => other,
        }
    }

    /// Why the store as a whole cannot be used, if it is to blame.
    pub(crate) fn outage(&self) -> Option<&'static str> {
        match self {
            Self::Unavailable(reason) | Self::CommitUnknown(reason) => Some(reason),
            Self::Statement(_) => None,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => from_database(database.as_ref()),
            sqlx::Error::PoolTimedOut => Self::Unavailable("no connection to the database in time"),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Self::Unavailable("the store is closed"),
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => Self::Unavailable(BROKE),
            _ => Self::Statement("unexpected result".to_owned()),
        }
    }
}

fn from_database(error: &dyn DatabaseError) -> StoreError {
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        let code: i32 = code.parse().unwrap_or_default();
        return match sqlite_outage(code) {
            Some(reason) => StoreError::Unavailable(reason),
            // SQLite's messages name tables and columns, never values.
            None => StoreError::Statement(error.message().to_owned()),
        };
    }
    let constraint = error.constraint().map(|name| format!(" ({name})")).unwrap_or_default();
    match postgres_outage(&code) {
        Some(reason) => StoreError::Unavailable(reason),
        // PostgreSQL's messages may quote values.
        None => StoreError::Statement(format!("PostgreSQL error {code}{constraint}")),
    }
}

/// <https://www.sqlite.org/rescode.html>: the low byte is the primary code.
fn sqlite_outage(code: i32) -> Option<&'static str> {
    Some(match code & 0xff {
        3 => "access to the file is denied",
        5 | 6 => "another process holds a lock on the file",
        7 => "out of memory",
        8 => "the file is read-only",
        9 => "the operation took too long",
        10 => IO_ERROR,
        11 | 26 => "the file is damaged",
        13 => "the disk is full",
        14 => "the file can't be opened",
        _ => return None,
    })
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn postgres_outage(code: &str) -> Option<&'static str> {
    Some(match code {
        "53100" => "the disk is full",
        "25006" => "the server is in recovery or read-only",
        "40001" | "40P01" | "55P03" => "another transaction holds a lock",
        "57014" => "the statement took too long",
        _ if code.starts_with("08") => BROKE,
        _ if code.starts_with("28") => "the server refused the login",
        _ if code.starts_with("53") => "the server is out of resources",
        _ if code.starts_with("57") => SHUTS_DOWN,
        _ if code.starts_with("58") || code.starts_with("XX") => INTERNAL,
        _ => return None,
    })
}
