//! What the HTTP and gRPC layers share: a request is measured from its headers to its end, however it ends.

use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use std::{collections::HashMap, pin::Pin, sync::Arc, time::Instant};

use ::http::{HeaderMap, Request, Response};
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use http_body_util::BodyExt as _;
use metrics::{Gauge, Histogram};
use parking_lot::RwLock;
use tonic::Code;
use tower::{BoxError, Layer, Service};
use tower_http::classify::{ServerErrorsAsFailures, SharedClassifier};
use tower_http::trace::{MakeSpan, TraceLayer};
use tracing::{Span, info};

use crate::grpc::{self, Side, code_name};
use crate::http::{CallerKey, ResourceId};
use crate::{SpanExt as _, TraceContext, bridge, names, propagation};

/// The status of a request whose caller left before the answer (nginx's convention; never sent).
const CALLER_GONE: u16 = 499;

/// tower-http's layer with a span of ours and no lines of its own.
pub(crate) type SpanLayer<M> = TraceLayer<SharedClassifier<ServerErrorsAsFailures>, M, (), (), (), (), ()>;

/// A layer whose spans are children of the callers'. A caller's baggage and sampling decision count only if it is
/// trusted.
pub(crate) fn span_layer(
    open: impl Fn(&Request<Body>) -> Span + Clone,
    trusts: impl Fn(IpAddr) -> bool + Clone,
) -> SpanLayer<impl MakeSpan<Body> + Clone> {
    let make_span = move |request: &Request<Body>| {
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

/// Measures every request, puts its status on its span, writes its line, and puts `traceparent` on its response.
/// Belongs inside the trace layer: exemplar and line get the span's ids.
#[derive(Clone)]
pub struct Measure<K> {
    pub(crate) kind: K,
    pub(crate) in_flight: Gauge,
    pub(crate) durations: Arc<Durations>,
}

/// Histograms by target and status, made on first use and kept: the macro with labels made at run time costs a
/// microsecond.
#[derive(Default)]
pub(crate) struct Durations(RwLock<HashMap<(Target, u16), Histogram>>);

/// What is called: an HTTP route, or a gRPC method as `package.Service/Method`.
#[derive(PartialEq, Eq, Hash)]
pub(crate) enum Target {
    Http { method: &'static str, route: String },
    Grpc { full: String },
}

impl Durations {
    fn record(&self, key: (Target, u16), seconds: f64) {
        if let Some(durations) = self.0.read().get(&key) {
            return durations.record(seconds);
        }
        let durations = match &key {
            (Target::Http { method, route }, status) => metrics::histogram!("http_request_duration_seconds",
                "method" => *method, "route" => route.clone(), "status" => status.to_string()),
            (Target::Grpc { full }, code) => {
                let (service, method) = halves(full);
                grpc::histogram(service, method, grpc_code(*code), Side::Server)
            }
        };
        durations.record(seconds);
        self.0.write().insert(key, durations);
    }
}

/// The service and the method.
fn halves(full: &str) -> (&str, &str) {
    full.split_once('/').unwrap_or(("unmatched", "unmatched"))
}

fn grpc_code(status: u16) -> Code {
    Code::from_i32(status.into())
}

/// HTTP or gRPC.
pub(crate) trait Kind {
    fn target<B>(&self, request: &Request<B>) -> Target;
}

impl<S, K: Clone> Layer<S> for Measure<K> {
    type Service = Measured<S, K>;

    fn layer(&self, inner: S) -> Self::Service {
        Measured { inner, measure: self.clone() }
    }
}

/// The service of [`Measure`].
#[derive(Clone)]
pub struct Measured<S, K> {
    inner: S,
    measure: Measure<K>,
}

impl<S, K, B, R> Service<Request<B>> for Measured<S, K>
where
    S: Service<Request<B>, Response = Response<R>, Future: Send + 'static>,
    K: Kind,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let mut call = InFlight::begin(&self.measure, &mut request);
        let response = self.inner.call(request);
        Box::pin(async move {
            let mut response = response.await?;
            call.head(&mut response);
            if call.target.is_none() {
                return Ok(response.map(Body::new));
            }
            let watch = move |frame: http_body::Frame<Bytes>| {
                frame.trailers_ref().into_iter().for_each(|trailers| call.trailers(trailers));
                frame
            };
            Ok(response.map(|body| Body::new(body.map_frame(watch))))
        })
    }
}

/// A request that is being measured.
struct InFlight {
    /// Until its end was told. Dropped before that, its caller has left.
    target: Option<Target>,
    durations: Arc<Durations>,
    in_flight: Gauge,
    span: Span,
    begun: Instant,
    id: Option<ResourceId>,
    key: CallerKey,
}

impl InFlight {
    fn begin<B>(
        Measure { kind, in_flight, durations }: &Measure<impl Kind>,
        request: &mut Request<B>,
    ) -> Self {
        in_flight.increment(1.0);
        let (target, key) = (Some(kind.target(request)), CallerKey::default());
        request.extensions_mut().insert(key.clone());
        let (durations, in_flight) = (Arc::clone(durations), in_flight.clone());
        Self { target, durations, in_flight, span: Span::current(), begun: Instant::now(), id: None, key }
    }

    /// The head of the response: the end of an HTTP request, and of a gRPC call whose status stands in it.
    fn head<B>(&mut self, response: &mut Response<B>) {
        self.id = response.extensions_mut().remove();
        match self.target {
            Some(Target::Http { .. }) => self.tell(response.status().as_u16()),
            _ => self.trailers(response.headers()),
        }
        if let Some(context) = self.span.trace_context() {
            context.inject(response.headers_mut());
        }
    }

    fn trailers(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get(tonic::Status::GRPC_STATUS) {
            self.tell(Code::from_bytes(code.as_bytes()) as u16);
        }
    }

    /// Tells of the end, once: an HTTP status or a gRPC code.
    fn tell(&mut self, status: u16) {
        let Some(target) = self.target.take() else { return };
        // In the span, for its ids on line and exemplar, even where the request is dropped outside of it.
        self.span.in_scope(|| {
            let duration_ms = self.begun.elapsed().as_secs_f64() * 1000.0;
            let (id, key) = (self.id.as_ref().map(|id| &*id.0), self.key.0.get().map(|key| &**key));
            let error = match &target {
                Target::Http { method, route } => {
                    self.span.record("http.response.status_code", i64::from(status));
                    info!(method, route, status, duration_ms, id, key, "request");
                    (status >= 500).then(|| status.to_string())
                }
                Target::Grpc { full } => {
                    let ((grpc_service, grpc_method), code) = (halves(full), grpc_code(status));
                    self.span.record(names::RPC_RESPONSE_STATUS_CODE, code_name(code));
                    if !is_quiet(full) {
                        info!(
                            grpc_service,
                            grpc_method,
                            grpc_code = code_name(code),
                            duration_ms,
                            id,
                            key,
                            "call"
                        );
                    }
                    is_server_error(code).then(|| code_name(code).to_owned())
                }
            };
            if let Some(error) = error {
                self.span.record(names::OTEL_STATUS_CODE, "ERROR");
                self.span.record(names::ERROR_TYPE, error);
            }
            self.in_flight.decrement(1.0);
            self.durations.record((target, status), duration_ms / 1000.0);
        });
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let is_http = matches!(self.target, Some(Target::Http { .. }));
        self.tell(if is_http { CALLER_GONE } else { Code::Cancelled as u16 });
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
