//! What the HTTP and gRPC layers share: a request is measured from its headers to its end, however it ends.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use ::http::{HeaderMap, Request, Response};
use axum::{
    body::{Body, Bytes},
    extract::ConnectInfo,
};
use http_body_util::BodyExt as _;
use metrics::Histogram;
use parking_lot::RwLock;
use tower::{BoxError, Service};
use tower_http::{
    classify::{ServerErrorsAsFailures, SharedClassifier},
    trace::TraceLayer,
};
use tracing::Span;

use crate::{SpanExt as _, TraceContext, grpc, http, propagation};

/// tower-http's layer with a span of ours and no lines of its own.
pub(crate) type SpanLayer<M> = TraceLayer<SharedClassifier<ServerErrorsAsFailures>, M, (), (), (), (), ()>;

pub(crate) fn span_layer<M>(make_span: M) -> SpanLayer<M> {
    let layer = TraceLayer::new_for_http().make_span_with(make_span);
    layer.on_request(()).on_response(()).on_body_chunk(()).on_eos(()).on_failure(())
}

/// Makes the span a child of the caller's. The caller's baggage and sampling decision count only if it is trusted.
pub(crate) fn continue_caller<B>(span: &Span, request: &Request<B>, trusts: impl Fn(IpAddr) -> bool) {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    if peer.is_some_and(|ConnectInfo(peer)| trusts(peer.ip())) {
        span.continue_from_remote(propagation::extract(request.headers()));
    } else if let Some(parent) = TraceContext::from_headers(request.headers()) {
        span.continue_from_untrusted(parent);
    }
}

/// Histograms by their labels, made on first use and kept: the macro with labels made at run time costs a microsecond.
#[derive(Default)]
pub(crate) struct Durations<K>(RwLock<HashMap<K, Histogram>>);

impl<K: Eq + Hash> Durations<K> {
    pub fn record(&self, key: K, seconds: f64, make: impl FnOnce(&K) -> Histogram) {
        if let Some(durations) = self.0.read().get(&key) {
            return durations.record(seconds);
        }
        let durations = make(&key);
        durations.record(seconds);
        self.0.write().insert(key, durations);
    }
}

/// A request that is being measured; dropped before its end was told, its caller has left.
pub(crate) struct InFlight {
    pub span: Span,
    pub begun: Instant,
    pub kind: Kind,
    pub id: Option<http::ResourceId>,
    pub key: Option<http::CallerKey>,
    pub told: bool,
}

pub(crate) enum Kind {
    Http(http::Exchange),
    Grpc(Arc<grpc::Endpoint>),
}

impl InFlight {
    pub fn new(span: Span, kind: Kind) -> Self {
        Self { span, begun: Instant::now(), kind, id: None, key: None, told: false }
    }

    /// The head of the response: the end of an HTTP request, and of a gRPC call whose status stands in it.
    fn head<B>(&mut self, response: &mut Response<B>) {
        self.id = response.extensions_mut().remove();
        self.key = response.extensions_mut().remove();
        match &self.kind {
            Kind::Http(_) => self.tell(response.status().as_u16()),
            Kind::Grpc(_) => self.trailers(response.headers()),
        }
        if let Some(context) = self.span.trace_context() {
            context.inject(response.headers_mut());
        }
    }

    fn trailers(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get(tonic::Status::GRPC_STATUS) {
            self.tell(tonic::Code::from_bytes(code.as_bytes()) as u16);
        }
    }

    /// Tells of the end, once: an HTTP status or a gRPC code.
    fn tell(&mut self, status: u16) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        // In the span, for its ids on line and exemplar, even where the request is dropped outside of it.
        self.span.in_scope(|| match &self.kind {
            Kind::Http(exchange) => exchange.tell(self, status, seconds),
            Kind::Grpc(endpoint) => endpoint.tell(self, tonic::Code::from_i32(status.into()), seconds),
        });
    }

    pub fn id(&self) -> Option<&str> {
        self.id.as_ref().map(|http::ResourceId(id)| id.as_str())
    }

    pub fn key(&self) -> Option<&str> {
        self.key.as_ref().map(|http::CallerKey(key)| &**key)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.tell(match self.kind {
            Kind::Http(_) => http::CALLER_GONE,
            Kind::Grpc(_) => tonic::Code::Cancelled as u16,
        });
    }
}

/// The service of the metrics layers.
#[derive(Clone)]
pub struct Measured<S, L> {
    pub(crate) inner: S,
    pub(crate) layer: L,
}

/// Begins to measure a request.
pub(crate) trait Begin {
    fn begin<B>(&self, request: &Request<B>) -> InFlight;
}

impl<S, L, B, R> Service<Request<B>> for Measured<S, L>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    L: Begin,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut in_flight = self.layer.begin(&request);
        let response = self.inner.call(request);
        Box::pin(async move {
            let mut response = response.await?;
            in_flight.head(&mut response);
            if in_flight.told {
                return Ok(response.map(Body::new));
            }
            let watched = |body: R| {
                body.map_frame(move |frame| {
                    frame.trailers_ref().into_iter().for_each(|trailers| in_flight.trailers(trailers));
                    frame
                })
            };
            Ok(response.map(|body| Body::new(watched(body))))
        })
    }
}
