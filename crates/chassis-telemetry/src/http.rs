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

use std::{net::IpAddr, sync::Arc};

use ::http::{Method, Request, StatusCode, Version};
use axum::{body::Body, extract::MatchedPath};
use metrics::Gauge;
use tower::Layer;
use tower_http::trace::MakeSpan;
use tracing::{Span, field::Empty, info, info_span};

use crate::{
    measure::{Begin, Durations, InFlight, Kind, Measured, SpanLayer, continue_caller, span_layer},
    names,
};

/// The status of a request whose caller left before the answer (nginx's convention; never sent).
pub(crate) const CALLER_GONE: u16 = 499;

/// A request extension: the connection is encrypted. Listeners set it; it becomes `url.scheme`.
#[derive(Clone, Copy, Debug)]
pub struct Encrypted;

/// A response extension: an id of ours that the request was about, for its line. Never a person's.
#[derive(Clone, Debug)]
pub struct ResourceId(pub String);

/// A response extension: the name of the key that the caller presented, for the request's line.
#[derive(Clone, Debug)]
pub struct CallerKey(pub Arc<str>);

/// tower-http's `TraceLayer` with a SERVER span by OpenTelemetry's conventions, continued from the caller's: its
/// baggage and sampling decision count only if `trusts` says so of the peer's address (axum's `ConnectInfo`).
pub fn trace_layer(trusts: impl Fn(IpAddr) -> bool + Clone) -> SpanLayer<impl MakeSpan<Body> + Clone> {
    span_layer(move |request: &Request<Body>| {
        let span = server_span(request);
        continue_caller(&span, request, &trusts);
        span
    })
}

fn server_span<B>(request: &Request<B>) -> Span {
    let (method, route) = (known(request.method()), request.extensions().get().map(MatchedPath::as_str));
    let (name, method) = match (method, route) {
        (OTHER, _) => ("HTTP".to_owned(), "_OTHER"),
        (method, Some(route)) => ([method, " ", route].concat(), method),
        (method, None) => (method.to_owned(), method),
    };
    info_span!(
        "request",
        otel.kind = "server",
        otel.name = name,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        url.scheme = if request.extensions().get::<Encrypted>().is_some() { "https" } else { "http" },
        network.protocol.version = match request.version() {
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2",
            _ => "1.1",
        },
        otel.status_code = Empty,
        error.type = Empty,
        user.name = Empty,
    )
}

/// Measures every request (`http_request_duration_seconds`, `http_requests_in_flight`), puts the status on its span,
/// writes its line `request`, and puts `traceparent` on its response. Belongs inside [`trace_layer`].
#[derive(Clone)]
pub struct MetricsLayer {
    in_flight: Gauge,
    /// By route, method and status.
    durations: Arc<Durations<(String, &'static str, u16)>>,
}

impl MetricsLayer {
    pub fn new() -> Self {
        Self { in_flight: metrics::gauge!(names::HTTP_REQUESTS_IN_FLIGHT), durations: Arc::default() }
    }
}

impl Default for MetricsLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = Measured<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Measured { inner, layer: self.clone() }
    }
}

impl Begin for MetricsLayer {
    fn begin<B>(&self, request: &Request<B>) -> InFlight {
        self.in_flight.increment(1.0);
        let route = request.extensions().get().map_or("unmatched", MatchedPath::as_str).to_owned();
        let exchange = Exchange { layer: self.clone(), method: known(request.method()), route };
        InFlight::new(Span::current(), Kind::Http(exchange))
    }
}

/// A request and its response.
pub(crate) struct Exchange {
    layer: MetricsLayer,
    method: &'static str,
    route: String,
}

impl Exchange {
    pub fn tell(&self, of: &InFlight, status: u16, seconds: f64) {
        let Self { layer, method, route } = self;
        of.span.record(names::HTTP_RESPONSE_STATUS_CODE, i64::from(status));
        if status >= StatusCode::INTERNAL_SERVER_ERROR.as_u16() {
            of.span.record(names::OTEL_STATUS_CODE, "ERROR");
            of.span.record(names::ERROR_TYPE, status.to_string());
        }
        layer.durations.record((route.clone(), method, status), seconds, |(route, method, status)| {
            metrics::histogram!(names::HTTP_REQUEST_DURATION, "method" => *method,
                "route" => route.clone(), "status" => status.to_string())
        });
        layer.in_flight.decrement(1.0);
        info!(method, route, status, duration_ms = seconds * 1000.0, id = of.id(), key = of.key(), "request");
    }
}

const OTHER: &str = "OTHER";

/// The method, or `OTHER`: labels come from a closed set.
fn known(method: &Method) -> &'static str {
    const KNOWN: &str = "GET POST PUT DELETE HEAD OPTIONS PATCH CONNECT TRACE";
    KNOWN.split(' ').find(|known| *known == method.as_str()).unwrap_or(OTHER)
}
