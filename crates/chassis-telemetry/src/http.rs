//! Layers for HTTP: [`trace_layer`] opens the SERVER span, [`metrics_layer`] inside it measures and writes the line.
//!
//! ```
//! # use axum::{Router, routing::get};
//! use chassis_telemetry::http::{metrics_layer, trace_layer};
//!
//! let app: Router = Router::new()
//!     .route("/hello", get(async || "hello"))
//!     .layer(tower::ServiceBuilder::new().layer(trace_layer(|peer| peer.is_loopback())).layer(metrics_layer()));
//! ```

use std::sync::{Arc, LazyLock, OnceLock};
use std::{collections::HashSet, net::IpAddr};

use ::http::Version;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use parking_lot::RwLock;
use tower_http::trace::MakeSpan;
use tracing::{Span, field::Empty, info_span};

use crate::measure::{self, SpanLayer, Target, span_layer};
use crate::{Begin, Observe};

/// A request extension: the connection is encrypted. Listeners set it; it becomes `url.scheme`.
#[derive(Clone, Copy, Debug)]
pub struct Encrypted;

/// A response extension: an id of ours that the request was about, for its line. Never a person's.
#[derive(Clone, Debug)]
pub struct ResourceId(pub String);

/// A request extension that [`metrics_layer`] makes, or an identifying layer, which sets the name of the caller's key: for
/// the request's line, and for what handlers write.
#[derive(Clone, Debug, Default)]
pub struct CallerKey(pub(crate) Arc<OnceLock<Arc<str>>>);

impl CallerKey {
    /// The first one stays.
    pub fn set(&self, name: Arc<str>) {
        let _ = self.0.set(name);
    }

    /// The name, once it is set.
    pub fn get(&self) -> Option<&str> {
        self.0.get().map(|name| &**name)
    }
}

/// tower-http's `TraceLayer` with a SERVER span by OpenTelemetry's conventions, continued from the caller's: its
/// baggage and sampling decision count only if `trusts` says so of the peer's address (axum's `ConnectInfo`).
pub fn trace_layer(trusts: impl Fn(IpAddr) -> bool + Clone) -> SpanLayer<impl MakeSpan<Body> + Clone> {
    span_layer(server_span, trusts)
}

fn server_span(request: &Request) -> Span {
    let (method, route) = (method(request), request.extensions().get().map(MatchedPath::as_str));
    let (name, method) = match (method, route) {
        (OTHER, _) => ("HTTP".to_owned(), "_OTHER"),
        (method, Some(route)) => ([method, " ", route].concat(), method),
        (method, None) => (method.to_owned(), method),
    };
    let scheme = if request.extensions().get::<Encrypted>().is_some() { "https" } else { "http" };
    let version = if request.version() == Version::HTTP_2 { "2" } else { "1.1" };
    info_span!("request", otel.kind = "server", otel.name = name, http.request.method = method, http.route = route,
        http.response.status_code = Empty, url.scheme = scheme, network.protocol.version = version,
        otel.status_code = Empty, error.type = Empty, user.name = Empty)
}

/// Measures `http_request_duration_seconds` and `http_requests_in_flight`, and writes the line `request`.
pub fn metrics_layer() -> Observe<impl Begin> {
    measure::metrics_layer(None, metrics::gauge!("http_requests_in_flight"))
}

pub(crate) fn target(request: &Request) -> Target {
    let route = request.extensions().get().map(MatchedPath::as_str);
    (method(request), route.map_or("unmatched", kept))
}

/// The route, kept for the life of the process: there are few, and what is measured needs no copy of its own.
fn kept(route: &str) -> &'static str {
    static ROUTES: LazyLock<RwLock<HashSet<&str>>> = LazyLock::new(RwLock::default);
    if let Some(kept) = ROUTES.read().get(route) {
        return kept;
    }
    let kept = route.to_owned().leak();
    ROUTES.write().insert(kept);
    kept
}

const OTHER: &str = "OTHER";

/// The method, or `OTHER`: labels come from a closed set.
fn method(request: &Request) -> &'static str {
    const KNOWN: &str = "GET POST PUT DELETE HEAD OPTIONS PATCH CONNECT TRACE";
    KNOWN.split(' ').find(|known| *known == request.method().as_str()).unwrap_or(OTHER)
}
