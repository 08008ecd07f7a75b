//! What can go wrong in the store, as its callers need to tell it apart.

use rusqlite::ErrorCode;

/// An error inside a transaction or a read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The store can't be used now: full, locked, damaged or gone. The reason is shown by `/readyz`.
    #[error("the store is unavailable: {0}")]
    Unavailable(&'static str),
    /// A statement failed for a reason of its own: a defect of the caller. The text names no values.
    #[error("a statement failed: {0}")]
    Statement(String),
}

/// Why a write was not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// Nothing was stored.
    #[error(transparent)]
    Refused(#[from] StoreError),
    /// The store vanished during the commit: the write may have been stored.
    #[error("the store vanished during the commit: {0}")]
    CommitUnknown(&'static str),
}

/// Why the store could not be opened at start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "{path} is in use by another instance (lock held on {path}.lock): stop it, or set APP_STORE__URL to another file"
    )]
    InUse { path: String },
    #[error("{path} can't be opened: {reason}")]
    Unusable { path: String, reason: String },
    #[error(
        "{path} was written by a newer release ({component} schema {found}, which needs a reader of at least {min_reader}; this release reads {known}): run that release, or restore a backup"
    )]
    TooNew { path: String, component: &'static str, found: i64, min_reader: i64, known: i64 },
}

impl StoreError {
    /// Whether the store as a whole is to blame, and not the statement.
    pub(super) fn is_environment(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code().and_then(environment) {
            Some(reason) => Self::Unavailable(reason),
            None => Self::Statement(statement_text(&error)),
        }
    }
}

/// The reason, where the error code says that the file or the machine is at fault.
pub(super) fn environment(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::DiskFull => "the disk is full",
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => "another process holds a lock on the file",
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => "the file is damaged",
        ErrorCode::CannotOpen => "the file can't be opened",
        ErrorCode::ReadOnly => "the file is read-only",
        ErrorCode::PermissionDenied => "access to the file is denied",
        ErrorCode::SystemIoFailure => "the disk reports an I/O error",
        ErrorCode::OutOfMemory => "out of memory",
        ErrorCode::OperationInterrupted => "the operation took too long",
        _ => return None,
    })
}

/// SQLite's own message without SQL or values: a constraint's message names columns only.
fn statement_text(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => {
            format!("{code}{}", message.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())
        }
        rusqlite::Error::InvalidColumnType(column, ..) => format!("column {column} has another type"),
        rusqlite::Error::InvalidParameterCount(given, wanted) => format!("{given} parameters for {wanted}"),
        _ => "unexpected result".to_owned(),
    }
}
