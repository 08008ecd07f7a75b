//! The outermost layer: one span, one line, one histogram record and the in-flight gauge for each request,
//! however it ends. What is answered is not decided here.

use super::{endpoint::Endpoint, serve::Peer};
use crate::platform::{
    auth::KeyName,
    telemetry::{SpanExt, TraceContext, names},
};
use axum::response::Response;
use http::{Request, StatusCode, Version};
use metrics::Gauge;
use std::time::Instant;
use tracing::{Span, field::Empty, info, info_span};

/// What is told of a request whose caller left before the answer (nginx's convention; never sent).
pub(super) const CALLER_GONE: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

/// An extension that a handler puts on its response, so that the request's line names what it was about:
/// an id of ours (notification, batch, report), never a patient's.
#[derive(Clone, Debug)]
pub struct ResourceId(pub String);

/// A request from its first header to its answer's.
pub(super) struct Observed<'a> {
    endpoint: &'a Endpoint,
    in_flight: &'a Gauge,
    span: Span,
    context: Option<TraceContext>,
    begun: Instant,
    key: Option<KeyName>,
    /// Whether [`Self::finish`] told of it; what is dropped before that is a caller that left.
    told: bool,
}

impl<'a> Observed<'a> {
    pub fn begin<B>(endpoint: &'a Endpoint, in_flight: &'a Gauge, request: &Request<B>, peer: &Peer) -> Self {
        let span = span(endpoint, request.version(), peer.encrypted);
        if let Some(parent) = TraceContext::from_headers(request.headers()) {
            if peer.trusted { span.continue_from(parent) } else { span.continue_from_untrusted(parent) }
        }
        in_flight.increment(1.0);
        // Asked once here: it starts the span, so this comes after its parent is set.
        let context = span.trace_context();
        Self { endpoint, in_flight, span, context, begun: Instant::now(), key: None, told: false }
    }

    /// The span that all work on the request runs in.
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// Remembers whose key was presented, for the line and the span.
    pub fn identified(&mut self, key: Option<KeyName>) {
        if let Some(key) = &key {
            self.span.record(names::USER_NAME, key.as_str());
        }
        self.key = key;
    }

    /// Tells of the answer, and puts the trace context on it.
    pub fn finish(mut self, mut response: Response) -> Response {
        let id = response.extensions_mut().remove::<ResourceId>();
        self.tell(response.status(), id.as_ref().map(|ResourceId(id)| id.as_str()));
        if let Some(context) = self.context {
            context.inject(response.headers_mut());
        }
        response
    }

    fn tell(&mut self, status: StatusCode, id: Option<&str>) {
        self.told = true;
        let took = self.begun.elapsed();
        self.span.record(names::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16()));
        if status.is_server_error() {
            self.span.record(names::OTEL_STATUS_CODE, "ERROR");
            self.span.record(names::ERROR_TYPE, status.as_str());
        }
        // Inside the span: its ids go to the line and, as an exemplar, to the histogram.
        self.span.in_scope(|| {
            self.endpoint.record(status, took.as_secs_f64());
            info!(
                method = self.endpoint.method,
                route = self.endpoint.route,
                status = status.as_u16(),
                duration_ms = took.as_secs_f64() * 1000.0,
                id,
                key = self.key.as_ref().map(KeyName::as_str),
                "request"
            );
        });
        self.in_flight.decrement(1.0);
    }
}

impl Drop for Observed<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.tell(CALLER_GONE, None);
        }
    }
}

/// The SERVER span (OpenTelemetry's conventions for HTTP servers; never a path or a query).
fn span(endpoint: &Endpoint, version: Version, encrypted: bool) -> Span {
    // The conventions' name for a method that is not known.
    let method = if endpoint.method == "OTHER" { "_OTHER" } else { endpoint.method };
    info_span!(
        "request",
        otel.kind = "server",
        otel.name = endpoint.name.as_str(),
        http.request.method = method,
        http.route = endpoint.route,
        http.response.status_code = Empty,
        url.scheme = if encrypted { "https" } else { "http" },
        network.protocol.version = protocol(version),
        otel.status_code = Empty,
        error.type = Empty,
        user.name = Empty,
    )
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}
