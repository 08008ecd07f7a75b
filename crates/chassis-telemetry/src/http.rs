//! Layers for HTTP: [`trace_layer`] opens the SERVER span, [`MetricsLayer`] inside it measures and writes the line.
//!
//! ```
//! # use axum::{Router, routing::get};
//! use chassis_telemetry::http::{MetricsLayer, trace_layer};
//!
//! let app: Router = Router::new()
//!     .route("/hello", get(async || "hello"))
//!     .layer(tower::ServiceBuilder::new().layer(trace_layer(|peer| peer.is_loopback())).layer(MetricsLayer::new()));
//! ```

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use ::http::{Method, Request, Response, Version};
use axum::extract::{ConnectInfo, MatchedPath};
use metrics::{Gauge, Histogram};
use parking_lot::RwLock;
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tower_http::{
    classify::{ServerErrorsAsFailures, SharedClassifier},
    trace::{MakeSpan, OnResponse, TraceLayer},
};
use tracing::{Span, field::Empty, info, info_span};

use crate::{SpanExt as _, TraceContext, names, propagation};

/// The status of a request whose caller left before the answer (nginx's convention; never sent).
const CALLER_GONE: u16 = 499;
/// The route of a request that matches none.
const UNMATCHED: &str = "unmatched";

/// A request extension: the connection is encrypted. Listeners set it; it becomes `url.scheme`.
#[derive(Clone, Copy, Debug)]
pub struct Encrypted;

/// A response extension: an id of ours that the request was about, for its line. Never a person's.
#[derive(Clone, Debug)]
pub struct ResourceId(pub String);

/// A response extension: the name of the key that the caller presented, for the request's line.
#[derive(Clone, Debug)]
pub struct CallerKey(pub Arc<str>);

/// tower-http's [`TraceLayer`] with a SERVER span by OpenTelemetry's conventions, continued from the caller's: its
/// baggage and sampling decision count only if `trusts` says so of the peer's address (axum's [`ConnectInfo`]).
pub fn trace_layer<T>(
    trusts: T,
) -> TraceLayer<SharedClassifier<ServerErrorsAsFailures>, ServerSpan<T>, (), Status, (), (), ()>
where
    T: Fn(IpAddr) -> bool + Clone,
{
    TraceLayer::new_for_http()
        .make_span_with(ServerSpan { trusts })
        .on_request(())
        .on_response(Status)
        .on_body_chunk(())
        .on_eos(())
        .on_failure(())
}

/// Makes the SERVER span of a request.
#[derive(Clone, Copy, Debug)]
pub struct ServerSpan<T> {
    trusts: T,
}

impl<B, T: Fn(IpAddr) -> bool> MakeSpan<B> for ServerSpan<T> {
    fn make_span(&mut self, request: &Request<B>) -> Span {
        let (method, route) = (known_method(request.method()), matched_route(request));
        let (name, method) = match (method, route) {
            ("OTHER", _) => ("HTTP".to_owned(), "_OTHER"),
            (method, Some(route)) => ([method, " ", route].concat(), method),
            (method, None) => (method.to_owned(), method),
        };
        let span = info_span!(
            "request",
            otel.kind = "server",
            otel.name = name,
            http.request.method = method,
            http.route = route,
            http.response.status_code = Empty,
            url.scheme = if request.extensions().get::<Encrypted>().is_some() { "https" } else { "http" },
            network.protocol.version = protocol(request.version()),
            otel.status_code = Empty,
            error.type = Empty,
            user.name = Empty,
        );
        continue_caller(&span, request, &self.trusts);
        span
    }
}

/// Makes the span a child of the caller's, as far as the caller is trusted.
pub(crate) fn continue_caller<B>(span: &Span, request: &Request<B>, trusts: impl Fn(IpAddr) -> bool) {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    if peer.is_some_and(|ConnectInfo(peer)| trusts(peer.ip())) {
        let caller = propagation::extract(request.headers());
        span.continue_from_remote(caller);
    } else if let Some(parent) = TraceContext::from_headers(request.headers()) {
        span.continue_from_untrusted(parent);
    }
}

/// Puts the response's status on the span.
#[derive(Clone, Copy, Debug)]
pub struct Status;

impl<B> OnResponse<B> for Status {
    fn on_response(self, response: &Response<B>, _: std::time::Duration, span: &Span) {
        span.record(names::HTTP_RESPONSE_STATUS_CODE, i64::from(response.status().as_u16()));
        if response.status().is_server_error() {
            span.record(names::OTEL_STATUS_CODE, "ERROR");
            span.record(names::ERROR_TYPE, response.status().as_str());
        }
    }
}

/// Measures every request (`http_request_duration_seconds`, `http_requests_in_flight`), writes its line `request`
/// and puts `traceparent` on its response. Inside [`trace_layer`] the histogram gets exemplars and the line its ids.
#[derive(Clone)]
pub struct MetricsLayer(Arc<Shared>);

struct Shared {
    in_flight: Gauge,
    routes: RwLock<HashMap<String, Arc<Route>>>,
}

/// One route's histograms, made on first use and kept.
struct Route {
    route: String,
    durations: RwLock<Vec<((&'static str, u16), Histogram)>>,
}

impl MetricsLayer {
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            in_flight: metrics::gauge!(names::HTTP_REQUESTS_IN_FLIGHT),
            routes: RwLock::default(),
        }))
    }
}

impl Default for MetricsLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = Measured<S>;

    fn layer(&self, inner: S) -> Measured<S> {
        Measured { inner, shared: Arc::clone(&self.0) }
    }
}

impl Shared {
    fn route(&self, route: &str) -> Arc<Route> {
        if let Some(known) = self.routes.read().get(route) {
            return Arc::clone(known);
        }
        let new = || Arc::new(Route { route: route.to_owned(), durations: RwLock::default() });
        Arc::clone(self.routes.write().entry(route.to_owned()).or_insert_with(new))
    }
}

impl Route {
    fn record(&self, method: &'static str, status: u16, seconds: f64) {
        let key = (method, status);
        if let Some((_, durations)) = self.durations.read().iter().find(|(other, _)| *other == key) {
            return durations.record(seconds);
        }
        let durations = metrics::histogram!(
            names::HTTP_REQUEST_DURATION,
            names::LABEL_METHOD => method,
            names::LABEL_ROUTE => self.route.clone(),
            names::LABEL_STATUS => status.to_string(),
        );
        durations.record(seconds);
        self.durations.write().push((key, durations));
    }
}

/// The service of [`MetricsLayer`].
#[derive(Clone)]
pub struct Measured<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, B, R> Service<Request<B>> for Measured<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = MeasuredFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let route = self.shared.route(matched_route(&request).unwrap_or(UNMATCHED));
        self.shared.in_flight.increment(1.0);
        let in_flight = InFlight {
            begun: Instant::now(),
            method: known_method(request.method()),
            route,
            span: Span::current(),
            gauge: self.shared.in_flight.clone(),
            told: false,
        };
        MeasuredFuture { inner: self.inner.call(request), in_flight }
    }
}

pin_project! {
    /// The future of [`Measured`].
    pub struct MeasuredFuture<F> {
        #[pin]
        inner: F,
        in_flight: InFlight,
    }
}

impl<F: Future<Output = Result<Response<R>, E>>, R, E> Future for MeasuredFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        let (id, key) = (response.extensions_mut().remove(), response.extensions_mut().remove());
        this.in_flight.tell(response.status().as_u16(), id, key);
        if let Some(context) = this.in_flight.span.trace_context() {
            context.inject(response.headers_mut());
        }
        Poll::Ready(Ok(response))
    }
}

/// A request from its headers to the head of its response.
struct InFlight {
    begun: Instant,
    method: &'static str,
    route: Arc<Route>,
    span: Span,
    gauge: Gauge,
    /// What is dropped before is a caller that left.
    told: bool,
}

impl InFlight {
    fn tell(&mut self, status: u16, id: Option<ResourceId>, key: Option<CallerKey>) {
        self.told = true;
        let took = self.begun.elapsed().as_secs_f64();
        // In the span even where the future is dropped outside of it.
        self.span.in_scope(|| {
            self.route.record(self.method, status, took);
            info!(
                method = self.method,
                route = self.route.route,
                status,
                duration_ms = took * 1000.0,
                id = id.as_ref().map(|ResourceId(id)| id.as_str()),
                key = key.as_ref().map(|CallerKey(key)| &**key),
                "request"
            );
        });
        self.gauge.decrement(1.0);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.told {
            self.span.record(names::HTTP_RESPONSE_STATUS_CODE, i64::from(CALLER_GONE));
            self.tell(CALLER_GONE, None, None);
        }
    }
}

/// The method, or `OTHER`: labels come from a closed set.
fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("OTHER")
}

fn matched_route<B>(request: &Request<B>) -> Option<&str> {
    request.extensions().get::<MatchedPath>().map(MatchedPath::as_str)
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}
