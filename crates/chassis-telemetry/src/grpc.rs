//! Layers for gRPC servers, on the same tower stack as HTTP: [`trace_layer`] opens the SERVER span, [`MetricsLayer`]
//! inside it measures until the status is known, in the trailers as a rule.

use std::{
    collections::HashMap,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Instant,
};

use ::http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use metrics::Histogram;
use pin_project_lite::pin_project;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tower_http::{
    classify::{GrpcErrorsAsFailures, SharedClassifier},
    trace::{MakeSpan, TraceLayer},
};
use tracing::{Span, field::Empty, info, info_span};

use crate::{
    SpanExt as _,
    http::{CallerKey, ResourceId, continue_caller},
    names,
};

/// Which side of a call measures it: a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
}

/// The code's name as in metrics, lines and spans: `NOT_FOUND`.
pub fn code_name(code: Code) -> &'static str {
    names::GRPC_CODES.get(code as usize).copied().unwrap_or("UNKNOWN")
}

/// Whether a server's span is an error with this code (<https://opentelemetry.io/docs/specs/semconv/rpc/grpc/>).
pub fn is_server_error(code: Code) -> bool {
    use Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unimplemented, Unknown};
    matches!(code, Unknown | DeadlineExceeded | Unimplemented | Internal | Unavailable | DataLoss)
}

/// The histograms of one method's calls (`grpc_request_duration_seconds`), made on first use and kept.
pub struct Durations {
    service: String,
    method: String,
    side: Side,
    kept: [OnceLock<Histogram>; names::GRPC_CODES.len()],
}

impl Durations {
    /// Both names come from our own descriptors, never from a caller.
    pub fn new(service: &str, method: &str, side: Side) -> Self {
        Self { service: service.to_owned(), method: method.to_owned(), side, kept: Default::default() }
    }

    /// Records how long a call took.
    pub fn record(&self, code: Code, seconds: f64) {
        if let Some(kept) = self.kept.get(code as usize) {
            kept.get_or_init(|| self.histogram(code)).record(seconds);
        }
    }

    fn histogram(&self, code: Code) -> Histogram {
        let side = match self.side {
            Side::Server => "server",
            Side::Client => "client",
        };
        metrics::histogram!(
            names::GRPC_REQUEST_DURATION,
            names::LABEL_GRPC_SERVICE => self.service.clone(),
            names::LABEL_GRPC_METHOD => self.method.clone(),
            names::LABEL_GRPC_CODE => code_name(code),
            names::LABEL_SIDE => side,
        )
    }
}

/// The methods that a server serves: only their names become labels. Cheap to clone.
#[derive(Clone)]
pub struct Methods {
    /// By path, `/package.Service/Method`.
    known: Arc<HashMap<String, Arc<Endpoint>>>,
    unmatched: Arc<Endpoint>,
}

struct Endpoint {
    /// `package.Service/Method`, or `_OTHER`.
    full: String,
    /// Health checks and reflection are measured, but have no span and no line.
    quiet: bool,
    durations: Durations,
}

impl Endpoint {
    fn new(service: &str, method: &str) -> Arc<Self> {
        let durations = Durations::new(service, method, Side::Server);
        Arc::new(Self { full: format!("{service}/{method}"), quiet: service.starts_with("grpc."), durations })
    }
}

impl Methods {
    /// Those of encoded file descriptor sets, as reflection takes them. A set that cannot be read has none.
    pub fn from_descriptors<'a>(sets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let files =
            sets.into_iter().filter_map(|set| FileDescriptorSet::decode(set).ok()).flat_map(|set| set.file);
        let mut known = HashMap::new();
        for file in files {
            for service in &file.service {
                let name = [file.package(), service.name()].into_iter().filter(|part| !part.is_empty());
                let name = name.collect::<Vec<_>>().join(".");
                for method in &service.method {
                    known.insert(format!("/{name}/{}", method.name()), Endpoint::new(&name, method.name()));
                }
            }
        }
        let durations = Durations::new("unmatched", "unmatched", Side::Server);
        let unmatched = Arc::new(Endpoint { full: "_OTHER".to_owned(), quiet: false, durations });
        Self { known: Arc::new(known), unmatched }
    }

    fn of<B>(&self, request: &Request<B>) -> &Arc<Endpoint> {
        self.known.get(request.uri().path()).unwrap_or(&self.unmatched)
    }
}

/// tower-http's [`TraceLayer`] with a SERVER span by OpenTelemetry's conventions, continued from the caller's as in
/// [`crate::http::trace_layer`].
pub fn trace_layer<T>(
    methods: Methods,
    trusts: T,
) -> TraceLayer<SharedClassifier<GrpcErrorsAsFailures>, ServerSpan<T>, (), (), (), (), ()>
where
    T: Fn(IpAddr) -> bool + Clone,
{
    TraceLayer::new_for_grpc()
        .make_span_with(ServerSpan { methods, trusts })
        .on_request(())
        .on_response(())
        .on_body_chunk(())
        .on_eos(())
        .on_failure(())
}

/// Makes the SERVER span of a call.
#[derive(Clone)]
pub struct ServerSpan<T> {
    methods: Methods,
    trusts: T,
}

impl<B, T: Fn(IpAddr) -> bool> MakeSpan<B> for ServerSpan<T> {
    fn make_span(&mut self, request: &Request<B>) -> Span {
        let endpoint = self.methods.of(request);
        if endpoint.quiet {
            return Span::none();
        }
        let span = info_span!(
            "call",
            otel.kind = "server",
            otel.name = endpoint.full,
            rpc.system.name = "grpc",
            rpc.method = endpoint.full,
            rpc.response.status_code = Empty,
            otel.status_code = Empty,
            error.type = Empty,
            user.name = Empty,
        );
        continue_caller(&span, request, &self.trusts);
        span
    }
}

/// Measures every call to its status, puts the status on the span, writes its line `call`, and puts `traceparent` on
/// its response.
#[derive(Clone)]
pub struct MetricsLayer(Methods);

impl MetricsLayer {
    pub fn new(methods: Methods) -> Self {
        Self(methods)
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = Measured<S>;

    fn layer(&self, inner: S) -> Measured<S> {
        Measured { inner, methods: self.0.clone() }
    }
}

/// The service of [`MetricsLayer`].
#[derive(Clone)]
pub struct Measured<S> {
    inner: S,
    methods: Methods,
}

impl<S, B, R> Service<Request<B>> for Measured<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<MeasuredBody<R>>;
    type Error = S::Error;
    type Future = MeasuredFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let endpoint = Arc::clone(self.methods.of(&request));
        let span = if endpoint.quiet { Span::none() } else { Span::current() };
        let call = Call { endpoint, span, begun: Instant::now(), id: None, key: None, told: false };
        MeasuredFuture { inner: self.inner.call(request), call: Some(call) }
    }
}

pin_project! {
    /// The future of [`Measured`].
    pub struct MeasuredFuture<F> {
        #[pin]
        inner: F,
        call: Option<Call>,
    }
}

impl<F: Future<Output = Result<Response<R>, E>>, R, E> Future for MeasuredFuture<F> {
    type Output = Result<Response<MeasuredBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        let mut call = this.call.take();
        if let Some(call) = &mut call {
            call.id = response.extensions_mut().remove();
            call.key = response.extensions_mut().remove();
            if let Some(context) = call.span.trace_context() {
                context.inject(response.headers_mut());
            }
            // An answer without a body has its status here.
            if let Some(code) = code_of(response.headers()) {
                call.tell(code);
            }
        }
        Poll::Ready(Ok(response.map(|inner| MeasuredBody { inner, call })))
    }
}

pin_project! {
    /// A response body that is watched for the call's status.
    pub struct MeasuredBody<B> {
        #[pin]
        inner: B,
        call: Option<Call>,
    }
}

impl<B: Body> Body for MeasuredBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        let code = match &frame {
            Some(Ok(frame)) => {
                frame.trailers_ref().map(|trailers| code_of(trailers).unwrap_or(Code::Unknown))
            }
            Some(Err(_)) | None => Some(Code::Unknown),
        };
        if let (Some(code), Some(call)) = (code, this.call) {
            call.tell(code);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A call from its headers to its status.
struct Call {
    endpoint: Arc<Endpoint>,
    span: Span,
    begun: Instant,
    id: Option<ResourceId>,
    key: Option<CallerKey>,
    /// What is dropped before is a caller that left.
    told: bool,
}

impl Call {
    fn tell(&mut self, code: Code) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let (took, name) = (self.begun.elapsed().as_secs_f64(), code_name(code));
        self.span.record(names::RPC_RESPONSE_STATUS_CODE, name);
        if is_server_error(code) {
            self.span.record(names::OTEL_STATUS_CODE, "ERROR");
            self.span.record(names::ERROR_TYPE, name);
        }
        let Endpoint { quiet, durations, .. } = &*self.endpoint;
        // In the span even where the body is dropped outside of it.
        self.span.in_scope(|| {
            durations.record(code, took);
            if !quiet {
                info!(
                    grpc_service = durations.service,
                    grpc_method = durations.method,
                    grpc_code = name,
                    duration_ms = took * 1000.0,
                    id = self.id.as_ref().map(|ResourceId(id)| id.as_str()),
                    key = self.key.as_ref().map(|CallerKey(key)| &**key),
                    "call"
                );
            }
        });
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.tell(Code::Cancelled);
    }
}

/// The status that a head without a body, or trailers, carry.
fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_name() {
        for (number, expected) in names::GRPC_CODES.iter().enumerate() {
            let code = Code::from_i32(i32::try_from(number).unwrap());
            // Tonic's own words for it, in another spelling.
            let spelled = format!("{code:?}").to_uppercase();
            assert_eq!((code_name(code), &*spelled), (*expected, &*expected.replace('_', "")));
        }
    }

    #[test]
    fn a_callers_own_fault_is_no_error_of_the_server() {
        for code in [Code::Ok, Code::Cancelled, Code::NotFound, Code::ResourceExhausted] {
            assert!(!is_server_error(code));
        }
        assert!(is_server_error(Code::Unavailable) && is_server_error(Code::DeadlineExceeded));
    }
}
