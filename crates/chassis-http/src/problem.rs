//! RFC 9457 problems: the one form of every error answer, over HTTP as JSON and over gRPC as a status.

use axum::response::{IntoResponse, Response};
use chassis_telemetry::TraceContext;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use std::{borrow::Cow, collections::HashMap, convert::Infallible, time::Duration};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// An error answer, `application/problem+json` (<https://www.rfc-editor.org/rfc/rfc9457>).
///
/// `detail` and `errors` say what is wrong and what would be right. They never repeat a value of the request and
/// show nothing of our own inside.
#[derive(Clone, Debug)]
#[must_use]
pub struct Problem(Box<Parts>);

#[derive(Clone, Debug, Default)]
struct Parts {
    slug: &'static str,
    title: &'static str,
    status: StatusCode,
    detail: Cow<'static, str>,
    errors: Vec<Fault>,
    retry_after: Option<Duration>,
    challenge: Option<Cow<'static, str>>,
}

/// One faulty place of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Fault {
    /// JSON pointer (RFC 6901) into the body.
    #[schema(example = "/message")]
    pub pointer: String,
    #[schema(example = "length is lower than 1")]
    pub detail: String,
}

/// The body of a [`Problem`], as it is sent and documented.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProblemBody {
    /// `/problems/` and a name that never changes.
    #[schema(example = "/problems/not-found")]
    pub r#type: String,
    #[schema(example = "Not found")]
    pub title: String,
    #[schema(example = 404)]
    pub status: u16,
    #[schema(example = "Nothing is served at this path.")]
    pub detail: String,
    /// The trace of the request, for whoever looks into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "44d1b382a0661d0fefc239c0bffbb70f")]
    pub trace_id: Option<String>,
    /// The faulty places of the body.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
}

impl Problem {
    /// A problem whose `type` is `/problems/{slug}`. Slugs are stable, so that callers may match on them.
    pub fn new(status: StatusCode, slug: &'static str, title: &'static str) -> Self {
        let detail = Cow::Borrowed(title);
        Self(Box::new(Parts { slug, title, status, detail, ..Parts::default() }))
    }

    /// Explains this occurrence to people; it is the title unless set.
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// Sets the faulty places of the body.
    pub fn errors(mut self, errors: Vec<Fault>) -> Self {
        self.0.errors = errors;
        self
    }

    /// Adds `Retry-After` in whole seconds, rounded up, at least 1.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Adds `WWW-Authenticate`.
    pub(crate) fn challenge(mut self, challenge: impl Into<Cow<'static, str>>) -> Self {
        self.0.challenge = Some(challenge.into());
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

    /// 500: a defect of ours, of which the caller learns nothing but the trace id.
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
    pub fn slug(&self) -> &'static str {
        self.0.slug
    }

    /// The answer in the caller's protocol: a gRPC status where the request is a gRPC call, else JSON.
    pub(crate) fn answer_to(self, request: &HeaderMap) -> Response {
        if is_grpc(request) { Status::from(self).into_http() } else { self.into_response() }
    }
}

/// Whether these are the headers of a gRPC call.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// For extractors that never fail, such as `Result<T, Problem>`.
impl From<Infallible> for Problem {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// The trace id is that of the current span, so call it inside the request's span; a handler's return value does.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Parts { slug, title, status, detail, errors, retry_after, challenge } = *self.0;
        let body = ProblemBody {
            r#type: format!("/problems/{slug}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into_owned(),
            trace_id: TraceContext::current().map(|context| context.trace_id()),
            errors,
        };
        // Strings and numbers alone: serialising them cannot fail.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = retry_after {
            let whole = after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0));
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole.max(1)));
        }
        if let Some(Ok(challenge)) = challenge.as_deref().map(HeaderValue::from_str) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// The domain of every `ErrorInfo`.
const DOMAIN: &str = "platform";
const REASONS: [(&str, &str); 2] = [("degraded", "DEGRADED"), ("commit-unknown", "COMMIT_UNKNOWN")];

/// The same over gRPC, with details (<https://google.aip.dev/193>): `BadRequest` for faults, `RetryInfo`, and an
/// `ErrorInfo` where a caller has to tell one UNAVAILABLE from another: `DEGRADED` is no failure of the service,
/// `COMMIT_UNKNOWN` may have stored the change.
impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let Parts { slug, status, detail, errors, retry_after, .. } = *problem.0;
        let mut details = ErrorDetails::new();
        for Fault { pointer, detail } in errors {
            details.add_bad_request_violation(pointer.trim_start_matches('/'), detail);
        }
        if let Some(after) = retry_after {
            details.set_retry_info(Some(after));
        }
        for (_, reason) in REASONS.into_iter().filter(|(known, _)| *known == slug) {
            details.set_error_info(reason, DOMAIN, HashMap::<String, String>::new());
        }
        Self::with_error_details(code(status), detail, details)
    }
}

fn code(status: StatusCode) -> Code {
    match status.as_u16() {
        400 | 415 | 422 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 | 421 => Code::PermissionDenied,
        404 => Code::NotFound,
        405 | 501 => Code::Unimplemented,
        408 => Code::Cancelled,
        409 => Code::FailedPrecondition,
        413 | 429 => Code::ResourceExhausted,
        502..=503 => Code::Unavailable,
        504 => Code::DeadlineExceeded,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds_and_is_at_least_one() {
        for (given, seconds) in [(0, "1"), (1, "1"), (999, "1"), (1000, "1"), (1001, "2"), (60_000, "60")] {
            let answer = Problem::internal().retry_after(Duration::from_millis(given)).into_response();
            assert_eq!(answer.headers()[header::RETRY_AFTER], seconds, "{given} ms");
        }
        let answer = Problem::internal().retry_after(Duration::MAX).into_response();
        assert_eq!(answer.headers()[header::RETRY_AFTER], "18446744073709551615");
    }

    #[test]
    fn a_status_has_the_details_by_which_callers_tell_it_apart() {
        let later = Duration::from_millis(1500);
        let status = Status::from(Problem::unavailable("degraded", "later").retry_after(later));
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "later"));
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(later));
        assert_eq!(status.get_details_error_info().unwrap().reason, "DEGRADED");
        let fault = Fault { pointer: "/content".to_owned(), detail: "is too long".to_owned() };
        let status = Status::from(Problem::invalid(vec![fault]));
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!((status.code(), violations[0].field.as_str()), (Code::InvalidArgument, "content"));
        assert!(Status::from(Problem::internal()).get_details_error_info().is_none());
    }

    #[test]
    fn only_a_grpc_content_type_is_one() {
        for (kind, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind.parse().unwrap())]);
            assert_eq!(is_grpc(&headers), expected, "{kind}");
        }
    }
}
