//! What the HTTP and gRPC layers share: a request is measured from its headers to its end, however it ends.

use std::net::{IpAddr, SocketAddr};
use std::{sync::Arc, time::Instant};

use ::http::HeaderMap;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use http_body_util::BodyExt as _;
use metrics::{Gauge, Histogram};
use tonic::Code;
use tower_http::classify::{ServerErrorsAsFailures, SharedClassifier};
use tower_http::trace::{MakeSpan, TraceLayer};
use tracing::{Span, info};

use crate::grpc::{self, Methods, code_name};
use crate::http::{self, CallerKey, ResourceId};
use crate::{Begin, Handles, Observe, SpanExt as _, TraceContext, bridge, names, propagation};

/// The status of a request whose caller left before the answer (nginx's convention; never sent).
const CALLER_GONE: u16 = 499;

/// tower-http's layer with a span of ours and no lines of its own.
pub(crate) type SpanLayer<M> = TraceLayer<SharedClassifier<ServerErrorsAsFailures>, M, (), (), (), (), ()>;

/// A layer whose spans are children of the callers'. A caller's baggage and sampling decision count only if it is
/// trusted.
pub(crate) fn span_layer(
    open: impl Fn(&Request) -> Span + Clone,
    trusts: impl Fn(IpAddr) -> bool + Clone,
) -> SpanLayer<impl MakeSpan<Body> + Clone> {
    let make_span = move |request: &Request| {
        let (span, peer) = (open(request), request.extensions().get());
        if peer.is_some_and(|ConnectInfo::<SocketAddr>(peer)| trusts(peer.ip())) {
            bridge::set_parent(&span, propagation::extract(request.headers()));
        } else if let Some(parent) = TraceContext::from_headers(request.headers()) {
            bridge::continue_untrusted(&span, parent);
        }
        span
    };
    let layer = TraceLayer::new_for_http().make_span_with(make_span);
    layer.on_request(()).on_response(()).on_body_chunk(()).on_eos(()).on_failure(())
}

/// What the layer keeps.
struct Kept {
    /// Of a gRPC server; else it is about HTTP.
    methods: Option<Methods>,
    in_flight: Gauge,
    /// By target and status.
    durations: Handles<(Target, u16), Histogram>,
}

/// What is called: the method and route of HTTP, or the service and method of gRPC. Both come from closed sets.
pub(crate) type Target = (&'static str, &'static str);

/// Measures every request, puts its status on its span, writes its line, and puts `traceparent` on its response.
/// Belongs inside the trace layer: exemplar and line get the span's ids.
pub(crate) fn metrics_layer(methods: Option<Methods>, in_flight: Gauge) -> Observe<impl Begin> {
    let kept = Arc::new(Kept { methods, in_flight, durations: Handles::default() });
    Observe(move |request: &mut Request| {
        kept.in_flight.increment(1.0);
        let target = kept.methods.as_ref().map_or_else(|| http::target(request), |all| all.target(request));
        let (kept, key) = (Arc::clone(&kept), CallerKey::default());
        request.extensions_mut().insert(key.clone());
        let (target, span, begun) = (Some(target), Span::current(), Instant::now());
        let call = InFlight { target, kept, span, begun, id: None, key };
        move |response| call.answered(response)
    })
}

/// A request that is being measured.
struct InFlight {
    /// Until its end was told. Dropped before that, its caller has left.
    target: Option<Target>,
    kept: Arc<Kept>,
    span: Span,
    begun: Instant,
    id: Option<ResourceId>,
    key: CallerKey,
}

impl InFlight {
    /// Sees the response: the end of an HTTP request, but of a gRPC call only if its status stands in the head.
    fn answered(mut self, mut response: Response) -> Response {
        self.id = response.extensions_mut().remove();
        match self.kept.methods {
            None => self.tell(response.status().as_u16()),
            Some(_) => self.trailers(response.headers()),
        }
        if let Some(context) = self.span.trace_context() {
            context.inject(response.headers_mut());
        }
        if self.target.is_none() {
            return response;
        }
        let watch = move |frame: http_body::Frame<Bytes>| {
            frame.trailers_ref().into_iter().for_each(|trailers| self.trailers(trailers));
            frame
        };
        response.map(|body| Body::new(body.map_frame(watch)))
    }

    fn trailers(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get(tonic::Status::GRPC_STATUS) {
            self.tell(Code::from_bytes(code.as_bytes()) as u16);
        }
    }

    /// Tells of the end, once: an HTTP status or a gRPC code.
    fn tell(&mut self, status: u16) {
        let Some(target) = self.target.take() else { return };
        let span = self.span.clone();
        // In the span, for its ids on line and exemplar, even where the request is dropped outside of it.
        span.in_scope(|| {
            let seconds = self.begun.elapsed().as_secs_f64();
            if let Some(error) = self.line(target, status, seconds * 1000.0) {
                span.record(names::OTEL_STATUS_CODE, "ERROR");
                span.record(names::ERROR_TYPE, error);
            }
            self.kept.in_flight.decrement(1.0);
            self.kept.record((target, status), seconds);
        });
    }

    /// Puts the status on the span, writes the line, and returns what the server did wrong.
    fn line(&self, (one, two): Target, status: u16, duration_ms: f64) -> Option<String> {
        let (id, key) = (self.id.as_ref().map(|id| &*id.0), self.key.get());
        if self.kept.methods.is_none() {
            self.span.record("http.response.status_code", i64::from(status));
            info!(method = one, route = two, status, duration_ms, id, key, "request");
            return (status >= 500).then(|| status.to_string());
        }
        let code = Code::from_i32(status.into());
        let grpc_code = code_name(code);
        self.span.record(names::RPC_RESPONSE_STATUS_CODE, grpc_code);
        if !is_quiet(one) {
            info!(grpc_service = one, grpc_method = two, grpc_code, duration_ms, id, key, "call");
        }
        is_server_error(code).then(|| grpc_code.to_owned())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.tell(if self.kept.methods.is_none() { CALLER_GONE } else { Code::Cancelled as u16 });
    }
}

impl Kept {
    fn record(&self, key: (Target, u16), seconds: f64) {
        let ((one, two), status) = key;
        let make = || match self.methods {
            None => metrics::histogram!("http_request_duration_seconds",
                "method" => one, "route" => two, "status" => status.to_string()),
            Some(_) => grpc::histogram(one, two, Code::from_i32(status.into()), "server"),
        };
        self.durations.get(key, make).record(seconds);
    }
}

/// Health checks and reflection are measured, but have no span and no line.
pub(crate) fn is_quiet(full: &str) -> bool {
    full.starts_with("grpc.")
}

/// Whether a server's span is an error with this code (<https://opentelemetry.io/docs/specs/semconv/rpc/grpc/>).
fn is_server_error(code: Code) -> bool {
    use Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unimplemented, Unknown};
    matches!(code, Unknown | DeadlineExceeded | Unimplemented | Internal | Unavailable | DataLoss)
}
