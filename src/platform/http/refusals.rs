//! Problems that every route has in common which reads or writes the store, and what the others are not told of
//! a store's error.

use super::Problem;
use crate::platform::store::{StoreError, WriteError};
use http::StatusCode;
use std::time::Duration;

/// How soon a store that was away is worth asking again.
pub const STORE_RETRY: Duration = Duration::from_secs(5);

/// What a read that failed means to the caller.
pub fn unread(error: &StoreError) -> Problem {
    match error {
        StoreError::Unavailable(_) => store_unavailable(),
        StoreError::Statement(_) => Problem::internal(),
    }
}

/// What a write that failed means to the caller.
pub fn unwritten(error: &WriteError) -> Problem {
    match error {
        WriteError::Refused(error) => unread(error),
        WriteError::CommitUnknown(_) => commit_unknown(),
    }
}

/// 503: nothing was stored.
pub fn store_unavailable() -> Problem {
    Problem::unavailable("store-unavailable", "The store cannot be used now; nothing was stored.")
        .retry_after(STORE_RETRY)
}

/// 503, the only one that may leave something behind.
pub fn commit_unknown() -> Problem {
    Problem::unavailable(
        "commit-unknown",
        "The store vanished during the commit: it may have been stored. Repeating with the same Idempotency-Key is safe.",
    )
    .retry_after(STORE_RETRY)
}

/// 422: the idempotency key belongs to another request.
pub fn key_reused(detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", "The key was used before")
        .detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_commit_in_doubt_is_told_as_one_and_a_defect_as_ours() {
        let away = || StoreError::Unavailable("the disk is full");
        let refused = unwritten(&WriteError::Refused(away()));
        assert_eq!((refused.status().as_u16(), refused.slug()), (503, "store-unavailable"));
        assert_eq!(unwritten(&WriteError::CommitUnknown("gone")).slug(), "commit-unknown");
        assert_eq!(unread(&StoreError::Statement(String::new())).status(), 500);
        assert!(unread(&away()).retries());
    }
}
