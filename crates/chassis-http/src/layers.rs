//! Thin constructors over tower-http, and the fallbacks, with problems as answers.

use crate::{
    Around, Caller, Origin, Problem, ServerConfig, gate::Wrap, linger::LingerLayer, valid::whole_body,
};
use axum::{
    Extension,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use std::{
    any::Any,
    future::{Ready, ready},
    time::Duration,
};
use tokio::time::timeout;
use tower::{Service, layer::util::Stack};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer, ExposeHeaders},
    set_header::SetResponseHeaderLayer,
};

/// What turns a panic's payload into an answer.
pub type OnPanic = fn(Box<dyn Any + Send>) -> Response;

/// Answers a panic with 500. The panic hook has written its line, inside the request's span.
pub fn catch_panic() -> CatchPanicLayer<OnPanic> {
    CatchPanicLayer::custom(|_| Problem::internal().into_response())
}

/// Reads what is left of a large body after an early answer, for a second and a mebibyte at most, so that a caller that
/// is still writing gets the answer and not a reset connection. Goes outermost, inside tracing.
pub fn linger() -> LingerLayer {
    LingerLayer
}

type SetHeader = SetResponseHeaderLayer<Option<HeaderValue>>;

/// The layers of [`headers`].
pub type HeadersLayer = Stack<SetHeader, Stack<SetHeader, SetHeader>>;

/// `Cache-Control: no-store` unless a handler says otherwise, `X-Content-Type-Options: nosniff`, and over TLS
/// `Strict-Transport-Security` of a year.
pub fn headers(tls: bool) -> HeadersLayer {
    let value = HeaderValue::from_static;
    let secure = tls.then(|| value("max-age=31536000"));
    Stack::new(
        SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, Some(value("no-store"))),
        Stack::new(
            SetResponseHeaderLayer::overriding(header::X_CONTENT_TYPE_OPTIONS, Some(value("nosniff"))),
            SetResponseHeaderLayer::overriding(header::STRICT_TRANSPORT_SECURITY, secure),
        ),
    )
}

/// CORS for these origins, for `option_layer`: `None` for no origins, so that nothing is said about it. Credentials that a
/// browser adds by itself (cookies) are never allowed.
pub fn cors(origins: &[Origin]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let any = origins.iter().any(|origin| origin.0 == "*");
    let listed = origins.iter().map(|origin| origin.0.clone());
    let names =
        |names: &[&'static str]| names.iter().map(|name| HeaderName::from_static(name)).collect::<Vec<_>>();
    let cors = CorsLayer::new()
        .allow_origin(if any { AllowOrigin::any() } else { AllowOrigin::list(listed) })
        .allow_methods(AllowMethods::list([Method::GET, Method::POST, Method::PUT, Method::DELETE]))
        .allow_headers(AllowHeaders::list(names(&[
            "authorization",
            "content-type",
            "idempotency-key",
            "if-none-match",
            "traceparent",
            "tracestate",
        ])))
        .expose_headers(ExposeHeaders::list(names(&[
            "allow",
            "etag",
            "idempotency-replayed",
            "location",
            "retry-after",
            "traceparent",
            "www-authenticate",
            "x-ratelimit-limit",
            "x-ratelimit-remaining",
        ])))
        // The most that Chromium takes.
        .max_age(Duration::from_secs(7200));
    Some(cors)
}

/// Reads the whole body before the handler runs, within the route's `DefaultBodyLimit` (413) and `body_timeout` (408), and
/// gives the handler `handler_timeout` (503). For `route_layer`: nothing is read for a caller that is refused, and how
/// slowly a caller sends takes nothing of the handler's time.
pub fn deadlines(config: &ServerConfig) -> Around<Deadlines> {
    Around(Deadlines { body: config.body_timeout, handler: config.handler_timeout })
}

/// See [`deadlines`].
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    body: Duration,
    handler: Duration,
}

impl Wrap for Deadlines {
    async fn answer<S>(self, request: Request, mut inner: S) -> Result<Response, S::Error>
    where
        S: Service<Request, Response = Response, Future: Send> + Send + 'static,
    {
        let (parts, bytes) = match timeout(self.body, whole_body(request)).await {
            Ok(Ok(whole)) => whole,
            Ok(Err(problem)) => return Ok(problem.into_response()),
            Err(_) => return Ok(slow_body().into_response()),
        };
        let method = parts.method.clone();
        let answered = inner.call(Request::from_parts(parts, Body::from(bytes)));
        timeout(self.handler, answered).await.unwrap_or_else(|_| Ok(slow_handler(&method).into_response()))
    }
}

fn slow_body() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "slow-body", "The body took too long")
        .detail("The body did not arrive in time; nothing was done.")
}

/// Only the type `commit-unknown` may leave something behind, so it is the one for every method that changes something.
fn slow_handler(method: &Method) -> Problem {
    if method.is_safe() {
        return Problem::unavailable("timeout", "The request took too long.");
    }
    Problem::unavailable(
        "commit-unknown",
        "The request took too long: it may have been stored. Repeating with the same Idempotency-Key is safe.",
    )
}

/// Fallback: 404, or 401 to callers that show no known key.
pub fn not_found(caller: Option<Extension<Caller>>) -> Ready<Problem> {
    ready(refused(caller).unwrap_or_else(|| Problem::not_found("Nothing is served at this path.")))
}

/// Fallback for methods: 405, or 401 to callers that show no known key. `OPTIONS` gets 204. axum adds `Allow`.
pub fn method_not_allowed(method: Method, caller: Option<Extension<Caller>>) -> Ready<Response> {
    if method == Method::OPTIONS {
        caller.iter().for_each(|Extension(caller)| caller.count_open());
        return ready(StatusCode::NO_CONTENT.into_response());
    }
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed")
        .detail("The Allow header names the methods that are served here.");
    ready(refused(caller).unwrap_or(problem).into_response())
}

fn refused(caller: Option<Extension<Caller>>) -> Option<Problem> {
    caller.and_then(|Extension(caller)| caller.permit(None).err())
}
