//! The problems that the stack itself answers with, whatever the route.

use super::Problem;
use crate::platform::resilience::Shed;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};

/// 404: no route has this path.
pub(super) fn no_such_route() -> Problem {
    Problem::not_found("Nothing is served at this path.")
}

/// 405, naming in `Allow` what the route serves.
pub(super) fn method_not_allowed(allow: &HeaderValue) -> Response {
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed")
        .detail("The Allow header names the methods that are served here.");
    let mut response = problem.into_response();
    response.headers_mut().insert(header::ALLOW, allow.clone());
    response
}

/// 204, naming in `Allow` what the route serves: the answer to OPTIONS.
pub(super) fn options(allow: &HeaderValue) -> Response {
    (StatusCode::NO_CONTENT, [(header::ALLOW, allow.clone())]).into_response()
}

/// 408: the body took longer than `http.body_timeout`.
pub(super) fn slow_body() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "slow-body", "The body took too long")
        .detail("The body did not arrive in time; nothing was done.")
}

/// 413: the body is over the route's limit, in bytes.
pub(super) fn too_large(limit: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large")
        .detail(format!("The body may have {limit} bytes at most."))
}

/// 400: the body breaks HTTP's framing.
pub(super) fn broken_body() -> Problem {
    Problem::bad_request("The body could not be read to its end.")
}

/// 499, which nobody reads: the caller left before the body's end.
pub(super) fn caller_gone() -> Problem {
    Problem::new(super::observe::CALLER_GONE, "caller-gone", "The caller left")
}

impl From<Shed> for Problem {
    /// 503: the service can do without this for a while.
    fn from(shed: Shed) -> Self {
        Self::unavailable(
            "degraded",
            "There is too much to do, so that this is left out for a while; nothing was stored.",
        )
        .retry_after(shed.retry_after)
    }
}

/// 503: the handler took longer than `http.handler_timeout`. Only the type `commit-unknown` may leave
/// something behind, so it is the one for whatever changes something.
pub(super) fn slow_handler(method: &Method) -> Problem {
    if method.is_safe() {
        return Problem::unavailable("timeout", "The request took too long.");
    }
    Problem::unavailable(
        "commit-unknown",
        "The request took too long: it may have been stored. Repeating with the same Idempotency-Key is safe.",
    )
}
