//! What callers are told when a call fails: a problem over HTTP, a status over gRPC.

use crate::notifications::Channel;
use axum::response::{IntoResponse, Response};
use chassis_http::{Fault, Problem, ProblemBody};
use chassis_queue::{Refused, StoreError};
use chassis_resilience::Shed;
use http::StatusCode;
use std::time::Duration;

/// How soon a store that was away is worth another try.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// Why a call fails. Only [`Self::CommitUnknown`] may have stored something.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("not found: {0}")]
    NotFound(&'static str),
    #[error("conflict: {detail}")]
    Conflict { slug: &'static str, detail: &'static str },
    #[error("the patient has no contact for this channel")]
    NoContact(Channel),
    #[error("the first request with this key is still running")]
    InFlight,
    #[error("the idempotency key was used with another request")]
    KeyReused,
    #[error("the backlog is full")]
    BacklogFull { retry_after: Duration },
    #[error("the gateway is not called now")]
    GatewayUnavailable { retry_after: Duration },
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

impl ApiError {
    /// The label `reason` of `notification_refused_total`; `None` for what is no refusal.
    pub fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::NoContact(_) => Some("no_contact"),
            Self::BacklogFull { .. } => Some("backlog_full"),
            Self::StoreUnavailable | Self::CommitUnknown => Some("store_unavailable"),
            Self::Shed(_) | Self::GatewayUnavailable { .. } => Some("shed"),
            Self::KeyReused | Self::NotFound(_) | Self::Problem(_) => Some("invalid"),
            Self::Conflict { .. } | Self::InFlight | Self::Internal => None,
        }
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Refused> for ApiError {
    /// The one precondition that an enqueue has here is that an SMS has a phone to go to.
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::BacklogFull { retry_after } => Self::BacklogFull { retry_after },
            Refused::KeyReused => Self::KeyReused,
            Refused::InFlight => Self::InFlight,
            Refused::Unmet => Self::NoContact(Channel::Sms),
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

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::NotFound(detail) => Self::not_found(detail),
            ApiError::Conflict { slug, detail } => Self::conflict(slug, detail),
            ApiError::NoContact(channel) => no_contact(channel),
            ApiError::InFlight => {
                Self::conflict("in-flight", "A request with this Idempotency-Key is still being delivered.")
                    .retry_after(Duration::from_secs(1))
            }
            ApiError::KeyReused => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "The key was used before",
            )
            .detail("The Idempotency-Key was used within 24 hours for another request."),
            ApiError::BacklogFull { retry_after } => {
                Self::unavailable("backlog-full", "Too many notifications are waiting; nothing was stored.")
                    .retry_after(retry_after)
            }
            ApiError::GatewayUnavailable { retry_after } => {
                Self::unavailable("gateway-unavailable", "The gateway is not called now; nothing was stored.")
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

fn no_contact(channel: Channel) -> Problem {
    let missing = match channel {
        Channel::Sms => "the directory has no phone of this patient",
        Channel::Push => "the directory has no push token of this patient",
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no-contact", "The patient cannot be reached")
        .detail("Put a contact of the patient into the directory first.")
        .errors(vec![Fault { pointer: "/patientId".to_owned(), detail: missing.to_owned() }])
}

/// Nothing has this id or name.
#[derive(utoipa::IntoResponses)]
#[response(status = NOT_FOUND, content_type = "application/problem+json")]
#[expect(dead_code, reason = "describes the answer")]
pub struct NotFound(ProblemBody);

/// It is not in a state for this.
#[derive(utoipa::IntoResponses)]
#[response(status = CONFLICT, content_type = "application/problem+json")]
#[expect(dead_code, reason = "describes the answer")]
pub struct Conflict(ProblemBody);

/// The reason of a refused notification, for the layer that counts refusals.
#[derive(Clone, Copy, Debug)]
pub struct Refusal(pub &'static str);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let refusal = self.refusal();
        let mut response = Problem::from(self).into_response();
        if let Some(reason) = refusal {
            response.extensions_mut().insert(Refusal(reason));
        }
        response
    }
}

impl From<ApiError> for tonic::Status {
    fn from(error: ApiError) -> Self {
        Problem::from(error).into()
    }
}

/// The answer to a call that [`chassis_resilience::Degradation`] sheds.
pub fn degraded(shed: Shed) -> ApiError {
    shed.into()
}
