//! The way of a call through the layers, in order, on one screen.

use super::{
    GrpcConfig, Services,
    answer::{self, Bounds},
    deadline::{self, Deadline},
    endpoint::{Endpoint, Handler, Shape, Table},
    foreign,
    observe::Observed,
    request, status,
};
use crate::platform::{
    admission::{Admission, Asked, Caller},
    http::{Peer, Service},
    limits::Surface,
    resilience::Degradation,
    telemetry::InSpan,
};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use std::{
    convert::Infallible,
    error::Error,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout_at;
use tonic::{Status, body::Body};
use tower::ServiceExt;

/// Everything between a connection and the services. Cheap to clone.
#[derive(Clone)]
pub struct GrpcStack(Arc<Inner>);

struct Inner {
    table: Table,
    admission: Option<Admission>,
    degradation: Degradation,
    body_timeout: Duration,
    handler_timeout: Duration,
    longest_step: Duration,
}

impl GrpcStack {
    /// Make it after the metrics recorder is installed: handles are kept. Without `admission` everybody may
    /// do everything without limit, which is for measuring what it costs.
    pub fn new(
        services: Services,
        config: &GrpcConfig,
        admission: Option<Admission>,
        degradation: Degradation,
    ) -> Self {
        Self(Arc::new(Inner {
            table: services.table(),
            admission,
            degradation,
            body_timeout: config.body_timeout,
            handler_timeout: config.handler_timeout,
            longest_step: config.longest_step,
        }))
    }

    /// Answers one call, through every layer, outermost first.
    pub async fn answer<B>(&self, request: Request<B>, peer: Peer) -> axum::response::Response
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let endpoint = self.0.table.find(request.uri().path());
        // 1. Trace context, span, line, metrics: whatever happens further in is told of here, once.
        let mut observed = Observed::begin(endpoint, &request, &peer);
        // 2. What is not gRPC, in the terms of HTTP.
        if let Some(refusal) = foreign::refusal(&request) {
            return foreign::send(observed, refusal);
        }
        let _in_hand = self.0.degradation.enter();
        let span = observed.span().clone();
        let mut bounds = Bounds { until: None, step: self.0.longest_step };
        // 3. Panics; the panic hook has written the line, inside the span.
        let admitted = self.admit(endpoint, request, peer, &mut observed, &mut bounds);
        let caught = InSpan::new(span, AssertUnwindSafe(admitted).catch_unwind());
        let answered = caught.await.unwrap_or_else(|_| Err(status::internal()));
        let answer = answered.unwrap_or_else(Status::into_http);
        answer::send(observed, answer, bounds)
    }

    /// 4. What is shed; who calls, how much they may, whether they may this: before anything is read.
    async fn admit<B>(
        &self,
        endpoint: &Endpoint,
        mut request: Request<B>,
        peer: Peer,
        observed: &mut Observed,
        bounds: &mut Bounds,
    ) -> Result<Response<Body>, Status>
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        if let Some(feature) = endpoint.feature {
            self.0.degradation.admit(feature).map_err(status::shed)?;
        }
        let caller = match (&self.0.admission, endpoint.needs) {
            (Some(admission), Some(needs)) => {
                let Asked { caller, decision, verdict } =
                    admission.ask(request.headers(), peer.address.ip(), needs, Surface::Grpc);
                // At once, since a caller may leave at any time.
                observed.identified(caller.key.clone());
                verdict.map_err(|refused| status::refused(refused, &decision, admission.limit()))?;
                caller
            }
            _ => Caller::of(peer.address.ip()),
        };
        let handler = endpoint.handler.as_ref().ok_or_else(status::no_such_method)?;
        request.extensions_mut().insert(caller);
        // 5. Until when.
        let begun = observed.begun();
        bounds.until = self.deadline(endpoint.shape, begun, &request)?;
        let handled = self.handle(handler, endpoint, begun, request, bounds.until);
        match bounds.until {
            Some(until) if until <= Instant::now() => Err(status::too_late()),
            // What was begun in it is dropped; a commit that is under way goes on without it.
            Some(until) => {
                timeout_at(until.into(), handled).await.unwrap_or_else(|_| Err(status::too_late()))
            }
            None => handled.await,
        }
    }

    /// The smaller of what the caller asks for and what a call of this shape may take.
    fn deadline<B>(
        &self,
        shape: Shape,
        begun: Instant,
        request: &Request<B>,
    ) -> Result<Option<Instant>, Status> {
        let asked = deadline::asked(request.headers()).map_err(|_| status::malformed_timeout())?;
        let ours = match shape {
            Shape::Answer => Some(self.0.handler_timeout),
            Shape::Conversation => Some(self.0.body_timeout),
            Shape::Lasting => None,
        };
        let shorter = [asked, ours].into_iter().flatten().min();
        Ok(shorter.and_then(|time| begun.checked_add(time)))
    }

    /// 6. The message's size and time; 7. its handler.
    async fn handle<B>(
        &self,
        handler: &Handler,
        endpoint: &Endpoint,
        begun: Instant,
        mut request: Request<B>,
        until: Option<Instant>,
    ) -> Result<Response<Body>, Status>
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        if let Some(until) = until {
            request.extensions_mut().insert(Deadline(until));
        }
        let request = match endpoint.shape {
            Shape::Conversation => request.map(Body::new),
            Shape::Answer | Shape::Lasting => request::read(request, begun + self.0.body_timeout).await?,
        };
        // From here on it is our own time: how fast a caller sends is not.
        let _watched = endpoint.watched.then(|| self.0.degradation.watch());
        let Ok(answer) = handler.clone().oneshot(request).await;
        Ok(answer)
    }
}

impl Service for GrpcStack {
    async fn call(
        &self,
        request: Request<hyper::body::Incoming>,
        peer: Peer,
    ) -> Result<axum::response::Response, Infallible> {
        Ok(self.answer(request, peer).await)
    }
}
