//! What can go wrong in the store, as its callers need to tell it apart.

/// An error inside a transaction or a read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store can't be used now: full, locked, damaged or gone. The reason is shown by `/readyz`.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// A statement failed for a reason of its own: a defect of the caller.
    #[error("a statement failed: {0}")]
    Statement(String),
}

/// Why a write was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Nothing was stored.
    #[error(transparent)]
    Refused(#[from] StoreError),
    /// The store vanished during the commit: the write may have been stored.
    #[error("the store vanished during the commit: {0}")]
    CommitUnknown(String),
}
