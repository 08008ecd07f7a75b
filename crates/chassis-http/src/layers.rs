//! Thin constructors over tower-http, and the fallbacks, with problems as answers.

use crate::{Around, Caller, Origin, Problem, ServerConfig, valid::whole_body};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use std::any::Any;
use std::future::{Ready, ready};
use std::time::Duration;
use tokio::time::timeout;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;

/// What turns a panic's payload into an answer.
pub type OnPanic = fn(Box<dyn Any + Send>) -> Response;

/// Answers a panic with 500. The panic hook has written its line, inside the request's span.
pub fn catch_panic() -> CatchPanicLayer<OnPanic> {
    CatchPanicLayer::custom(|_| Problem::internal().into_response())
}

type SetHeader = SetResponseHeaderLayer<Option<HeaderValue>>;

/// `Cache-Control: no-store` unless a handler says otherwise, `X-Content-Type-Options: nosniff`, and over TLS
/// `Strict-Transport-Security` of a year.
pub fn headers(tls: bool) -> (SetHeader, SetHeader, SetHeader) {
    let [no_store, nosniff, secure] =
        ["no-store", "nosniff", "max-age=31536000"].map(HeaderValue::from_static);
    (
        SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, Some(no_store)),
        SetResponseHeaderLayer::overriding(header::X_CONTENT_TYPE_OPTIONS, Some(nosniff)),
        SetResponseHeaderLayer::overriding(header::STRICT_TRANSPORT_SECURITY, tls.then_some(secure)),
    )
}

/// What a page may send, and read, besides what every page may.
const ALLOWED: &str = "authorization, content-type, idempotency-key, if-none-match, traceparent, tracestate";
const EXPOSED: &str = "allow, etag, idempotency-replayed, location, retry-after, traceparent, www-authenticate, \
                       x-ratelimit-limit, x-ratelimit-remaining";

/// CORS for these origins, for `option_layer`: `None` for no origins, so that nothing is said about it. Credentials that a
/// browser adds by itself (cookies) are never allowed.
pub fn cors(origins: &[Origin]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let any = origins.iter().any(|origin| origin.0 == "*");
    let listed = origins.iter().map(|origin| origin.0.clone());
    let names =
        |text: &str| text.split(", ").filter_map(|name| name.parse().ok()).collect::<Vec<HeaderName>>();
    let cors = CorsLayer::new()
        .allow_origin(if any { AllowOrigin::any() } else { AllowOrigin::list(listed) })
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers(names(ALLOWED))
        .expose_headers(names(EXPOSED))
        // The most that Chromium takes.
        .max_age(Duration::from_secs(7200));
    Some(cors)
}

/// Reads the whole body before the handler runs, within the route's `DefaultBodyLimit` (413) and `body_timeout` (408), and
/// gives the handler `handler_timeout` (503). For `route_layer`: nothing is read for a caller that is refused, and how
/// slowly a caller sends takes nothing of the handler's time.
pub fn deadlines(config: &ServerConfig) -> Around<Times> {
    let times = (config.body_timeout, config.handler_timeout);
    from_fn_with_state(times, |State(times), request, next| Box::pin(answer(times, request, next)))
}

/// For the body, and for the handler.
pub(crate) type Times = (Duration, Duration);

async fn answer((body, handler): Times, request: Request, next: Next) -> Response {
    let (parts, bytes) = match timeout(body, whole_body(request)).await {
        Ok(Ok(whole)) => whole,
        Ok(Err(problem)) => return problem.into_response(),
        Err(_) => {
            return Problem::new(StatusCode::REQUEST_TIMEOUT, "slow-body", "The body took too long")
                .detail("The body did not arrive in time; nothing was done.")
                .into_response();
        }
    };
    let method = parts.method.clone();
    let answered = next.run(Request::from_parts(parts, Body::from(bytes)));
    timeout(handler, answered).await.unwrap_or_else(|_| slow_handler(&method).into_response())
}

/// Only the type `commit-unknown` may leave something behind, so it is the one for every method that changes something.
pub(crate) fn slow_handler(method: &Method) -> Problem {
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
