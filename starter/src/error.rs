//! What callers are told when a call fails: a problem after RFC 9457.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chassis_http::Problem;
use chassis_queue::{Refused, StoreError};
use chassis_resilience::Shed;
use std::time::Duration;

/// How soon a store that was away is worth another try.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// Why a call fails. Only [`Self::CommitUnknown`] may have stored something.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("the first request with this key is still running")]
    InFlight,
    #[error("the idempotency key was used with another request")]
    KeyReused,
    #[error("the backlog is full")]
    BacklogFull { retry_after: Duration },
    #[error(transparent)]
    Shed(#[from] Shed),
    #[error("the store is unavailable")]
    StoreUnavailable,
    #[error("the store vanished during the commit")]
    CommitUnknown,
    #[error("a defect of ours")]
    Internal,
    #[error("{}", .0.slug())]
    Problem(Problem),
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::BacklogFull { retry_after } => Self::BacklogFull { retry_after },
            Refused::KeyReused => Self::KeyReused,
            Refused::InFlight => Self::InFlight,
            // No job has a precondition here.
            Refused::Unmet => Self::Internal,
            Refused::StoreUnavailable(_) => Self::StoreUnavailable,
            Refused::CommitUnknown => Self::CommitUnknown,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::StoreUnavailable,
            StoreError::CommitUnknown(_) => Self::CommitUnknown,
            StoreError::Statement(reason) => {
                tracing::error!(reason, "a statement failed");
                Self::Internal
            }
        }
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::InFlight => {
                Self::conflict("in-flight", "A request with this Idempotency-Key is still being handled.")
                    .retry_after(Duration::from_secs(1))
            }
            ApiError::KeyReused => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "The key was used before",
            )
            .detail("The Idempotency-Key was used within 24 hours for another request."),
            ApiError::BacklogFull { retry_after } => {
                Self::unavailable("backlog-full", "Too many jobs are waiting; nothing was stored.")
                    .retry_after(retry_after)
            }
            ApiError::Shed(shed) => Self::unavailable(
                "degraded",
                "The service is overloaded and sheds this call; nothing was stored.",
            )
            .retry_after(shed.retry_after),
            ApiError::StoreUnavailable => {
                Self::unavailable("store-unavailable", "The store cannot be used now; nothing was stored.")
                    .retry_after(STORE_RETRY)
            }
            ApiError::CommitUnknown => Self::unavailable(
                "commit-unknown",
                "The store vanished during the commit: it may have been stored. Repeating with the same \
                 Idempotency-Key is safe.",
            )
            .retry_after(STORE_RETRY),
            ApiError::Internal => Self::internal(),
            ApiError::Problem(problem) => problem,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

/// The answer to a call that [`chassis_resilience::Degradation`] sheds.
pub fn degraded(shed: Shed) -> ApiError {
    shed.into()
}
