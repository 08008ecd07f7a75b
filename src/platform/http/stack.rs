//! The way of a request through the layers, in order, on one screen.

use super::{
    HttpConfig, Problem,
    admit::{self, LimitHeaders},
    body, compress,
    manners::Manners,
    observe::Observed,
    problems,
    routes::Routes,
    serve::{Peer, Service},
    table::{Resource, Table},
};
use crate::platform::{
    admission::{Admission, Asked, Caller},
    limits::{Decision, Surface},
    resilience::Degradation,
    telemetry::names,
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Request};
use metrics::Gauge;
use std::{convert::Infallible, error::Error, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::time::timeout;
use tower::Service as _;
use tracing::Instrument;

/// Everything between a connection and the handlers. Cheap to clone.
#[derive(Clone)]
pub struct Stack(Arc<Inner>);

struct Inner {
    table: Table,
    manners: Manners,
    admission: Option<Admission>,
    limit: Option<LimitHeaders>,
    degradation: Option<Degradation>,
    body_timeout: Duration,
    handler_timeout: Duration,
    in_flight: Gauge,
}

impl Stack {
    /// Make it after the metrics recorder is installed: handles are kept. Without `admission` everybody
    /// may do everything without limit, which is for measuring what it costs.
    ///
    /// # Errors
    /// If two templates stand in each other's way.
    pub fn new(
        routes: Routes,
        config: &HttpConfig,
        admission: Option<Admission>,
    ) -> Result<Self, matchit::InsertError> {
        Self::shedding(routes, config, admission, None)
    }

    /// The same, where routes are shed and watched by `degradation`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn shedding(
        routes: Routes,
        config: &HttpConfig,
        admission: Option<Admission>,
        degradation: Option<Degradation>,
    ) -> Result<Self, matchit::InsertError> {
        Ok(Self(Arc::new(Inner {
            table: Table::new(routes)?,
            manners: Manners::new(config),
            limit: admission.as_ref().map(|admission| LimitHeaders::new(admission.limit())),
            admission,
            degradation,
            body_timeout: config.body_timeout,
            handler_timeout: config.handler_timeout,
            in_flight: metrics::gauge!(names::HTTP_REQUESTS_IN_FLIGHT),
        })))
    }

    /// Answers one request, through every layer, outermost first.
    pub async fn answer<B>(&self, request: Request<B>, peer: Peer) -> Response
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let found = self.0.table.find(request.uri().path());
        let (Ok(resource) | Err(resource)) = found;
        let _in_hand = self.0.degradation.as_ref().map(Degradation::enter);
        // 1. Trace context, span, line, metrics: whatever happens further in is told of here, once.
        let mut observed =
            Observed::begin(resource.endpoint(request.method()), &self.0.in_flight, &request, &peer);
        // 2. What browsers and proxies are told on every answer: caching, CORS, HEAD.
        let owed = self.0.manners.owed(&request, &resource.allow);
        let span = observed.span();
        let mut decision = None;
        // 3. Panics; the panic hook has written the line, inside the span.
        let admitted = self.shed(found, request, peer, &mut observed, &mut decision);
        let caught = AssertUnwindSafe(admitted).catch_unwind();
        let response = caught.map(|answer| answer.unwrap_or_else(|_| Problem::internal().into_response()));
        let mut response = response.instrument(span).await;
        if let (Some(decision), Some(limit)) = (decision, &self.0.limit) {
            limit.tell(&decision, response.headers_mut());
        }
        self.0.manners.keep(owed, &mut response);
        observed.finish(response)
    }

    /// 4. What there is too much to do for (503): before anything is spent on it.
    async fn shed<B>(
        &self,
        found: Result<&Resource, &Resource>,
        request: Request<B>,
        peer: Peer,
        observed: &mut Observed<'_>,
        told: &mut Option<Decision>,
    ) -> Response
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let feature =
            found.ok().filter(|resource| resource.serves(request.method())).and_then(|at| at.shed_as);
        if let (Some(feature), Some(degradation)) = (feature, &self.0.degradation)
            && let Err(shed) = degradation.admit(feature)
        {
            let (parts, body) = request.into_parts();
            body::refuse(&parts.headers, body).await;
            return Problem::from(shed).into_response();
        }
        self.admit(found, request, peer, observed, told).await
    }

    /// 5. Who calls, how much they may (429), whether they may this (401, 403): before anything is read.
    ///
    /// What was found out is left for the layers outside: at once, since a caller may leave at any time.
    async fn admit<B>(
        &self,
        found: Result<&Resource, &Resource>,
        mut request: Request<B>,
        peer: Peer,
        observed: &mut Observed<'_>,
        told: &mut Option<Decision>,
    ) -> Response
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let Some(admission) = &self.0.admission else {
            request.extensions_mut().insert(Caller::of(peer.address.ip()));
            return self.route(found, request).await;
        };
        let (Ok(resource) | Err(resource)) = found;
        let needs = resource.needs(request.method());
        let Asked { caller, decision, verdict } =
            admission.ask(request.headers(), peer.address.ip(), needs, Surface::Http);
        observed.identified(caller.key.clone());
        *told = Some(decision);
        match verdict {
            Ok(()) => {
                request.extensions_mut().insert(caller);
                self.route(found, request).await
            }
            Err(refused) => {
                let (parts, body) = request.into_parts();
                body::refuse(&parts.headers, body).await;
                admit::refuse(refused, &decision, admission.limit())
            }
        }
    }

    /// 6. Which resource, and whether it serves the method: 404, 405, OPTIONS.
    async fn route<B>(&self, found: Result<&Resource, &Resource>, request: Request<B>) -> Response
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let (parts, body) = request.into_parts();
        match found {
            Ok(resource) if resource.serves(&parts.method) => {
                // 7. The body's size (413) and time (408).
                match body::read(&parts.headers, body, resource.largest_body, self.0.body_timeout).await {
                    Ok(bytes) => self.handle(resource, Request::from_parts(parts, Body::from(bytes))).await,
                    Err(problem) => problem.into_response(),
                }
            }
            Ok(resource) => {
                body::refuse(&parts.headers, body).await;
                if parts.method == Method::OPTIONS {
                    problems::options(&resource.allow)
                } else {
                    problems::method_not_allowed(&resource.allow)
                }
            }
            Err(_) => {
                body::refuse(&parts.headers, body).await;
                problems::no_such_route().into_response()
            }
        }
    }

    /// 8. The handler, and its time (503); compression, where the route asks for it.
    async fn handle(&self, resource: &Resource, mut request: Request<Body>) -> Response {
        let method = request.method().clone();
        if method == Method::HEAD {
            // Answered as GET: the body is left out at the end, when its length is known.
            *request.method_mut() = Method::GET;
        }
        // From here on it is our own time: how fast a caller sends is not.
        let _watched = self.0.degradation.as_ref().filter(|_| resource.watched).map(Degradation::watch);
        let gzip = resource.compressed.then(|| compress::takes_gzip(request.headers()));
        let handler = self.0.table.router.clone().call(request);
        match timeout(self.0.handler_timeout, handler).await {
            Ok(Ok(response)) => match gzip {
                Some(taken) => compress::compress(taken, response).await,
                None => response,
            },
            Ok(Err(never)) => match never {},
            Err(_) => problems::slow_handler(&method).into_response(),
        }
    }
}

impl Service for Stack {
    async fn call(
        &self,
        request: Request<hyper::body::Incoming>,
        peer: Peer,
    ) -> Result<Response, Infallible> {
        Ok(self.answer(request, peer).await)
    }
}
