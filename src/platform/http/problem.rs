//! RFC 9457 problems: the one form of every error answer. Which errors there are is their callers' matter.

use crate::platform::telemetry::TraceContext;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use std::{borrow::Cow, time::Duration};

/// An error answer, `application/problem+json` (<https://www.rfc-editor.org/rfc/rfc9457>).
///
/// `detail` and `errors` say what is wrong and what would be right, never a value of the request and
/// nothing of our own inside.
#[derive(Clone, Debug)]
pub struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    slug: &'static str,
    title: &'static str,
    status: StatusCode,
    detail: Cow<'static, str>,
    errors: Vec<Fault>,
    retry_after: Option<u64>,
}

/// What is wrong with one place of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// JSON pointer (RFC 6901) into the body.
    pub pointer: String,
    pub detail: String,
}

impl Problem {
    /// A problem whose `type` is `/problems/{slug}`: slugs are stable, callers may match on them.
    pub fn new(status: StatusCode, slug: &'static str, title: &'static str) -> Self {
        Self(Box::new(Parts {
            slug,
            title,
            status,
            detail: Cow::Borrowed(title),
            errors: Vec::new(),
            retry_after: None,
        }))
    }

    /// What happened this time, for people; the title unless it is set.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// The faulty places of the body.
    #[must_use]
    pub fn errors(mut self, errors: Vec<Fault>) -> Self {
        self.0.errors = errors;
        self
    }

    /// Adds `Retry-After` in whole seconds, rounded up, at least 1.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(whole_seconds(after).max(1));
        self
    }

    /// 400: the request can't be read.
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request cannot be read").detail(detail)
    }

    /// 404: nothing is there.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found").detail(detail)
    }

    /// 409: the resource is not in a state for this.
    pub fn conflict(slug: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, slug, "Conflict").detail(detail)
    }

    /// 422: well-formed, but not valid.
    pub fn invalid(errors: Vec<Fault>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "The request is not valid")
            .detail("See errors for each fault.")
            .errors(errors)
    }

    /// 500: our own defect, of which the caller learns nothing but the trace id.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error")
            .detail("Something failed here; the trace id leads to it.")
    }

    /// 503: not now.
    pub fn unavailable(slug: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, slug, "Service unavailable").detail(detail)
    }

    /// The status that it answers with.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The last part of its type.
    pub(super) fn slug(&self) -> &'static str {
        self.0.slug
    }

    /// Whether it says when to come again.
    pub(super) fn retries(&self) -> bool {
        self.0.retry_after.is_some()
    }

    /// Its body as this trace's request would get it.
    pub(super) fn example(&self, trace_id: &str) -> serde_json::Value {
        serde_json::json!(Body::of(&self.0, Some(trace_id.to_owned())))
    }
}

/// Whole seconds, rounded up: whoever waits so long has waited long enough.
pub(super) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Fault],
}

impl<'a> Body<'a> {
    fn of(parts: &'a Parts, trace_id: Option<String>) -> Self {
        Self {
            r#type: format!("/problems/{}", parts.slug),
            title: parts.title,
            status: parts.status.as_u16(),
            detail: &parts.detail,
            trace_id,
            errors: &parts.errors,
        }
    }
}

/// The trace id is that of the current span, so this has to happen inside the request's span; a
/// handler's return value does.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let parts = *self.0;
        let body = Body::of(&parts, TraceContext::current().map(|context| context.trace_id()));
        // Strings and numbers alone: serialising them cannot fail.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (parts.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = parts.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds_and_is_at_least_one() {
        for (given, told) in [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (60_000, 60)] {
            let problem = Problem::internal().retry_after(Duration::from_millis(given));
            assert_eq!(problem.0.retry_after, Some(told), "{given} ms");
        }
        assert_eq!(Problem::internal().retry_after(Duration::MAX).0.retry_after, Some(u64::MAX));
    }
}
