//! Tower layers: one sheds a route, two feed the controller.

use super::{
    Degradation, Feature, Shed,
    load::{InFlight, Load, Watched},
};
use axum::response::{IntoResponse, Response};
use futures_util::future::{Either, Ready, ready};
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Layer, Service};

impl Degradation {
    /// Sheds everything below this layer while `feature` is shed. `answer` makes the response, such as a 503
    /// problem with `Retry-After`.
    pub fn shed_layer<R>(&self, feature: Feature, answer: fn(Shed) -> R) -> ShedLayer<R> {
        ShedLayer { degradation: self.clone(), feature, answer }
    }

    /// Counts requests in flight. Goes around everything that is served.
    pub fn in_flight_layer(&self) -> GuardLayer<InFlight> {
        GuardLayer { load: Arc::clone(&self.0.load), enter: InFlight::new }
    }

    /// Holds the latency of requests against `degradation.latency`. Goes around routes that wait for nobody
    /// outside: a slow gateway is no overload.
    pub fn latency_layer(&self) -> GuardLayer<Watched> {
        GuardLayer { load: Arc::clone(&self.0.load), enter: Watched::new }
    }
}

/// See [`Degradation::shed_layer`].
pub struct ShedLayer<R> {
    degradation: Degradation,
    feature: Feature,
    answer: fn(Shed) -> R,
}

impl<R> Clone for ShedLayer<R> {
    fn clone(&self) -> Self {
        Self { degradation: self.degradation.clone(), feature: self.feature, answer: self.answer }
    }
}

impl<S, R> Layer<S> for ShedLayer<R> {
    type Service = Layered<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Layered { inner, layer: self.clone() }
    }
}

/// A service inside one of these layers.
#[derive(Clone)]
pub struct Layered<S, L> {
    inner: S,
    layer: L,
}

impl<S, R, Q> Service<Q> for Layered<S, ShedLayer<R>>
where
    S: Service<Q, Response = Response>,
    R: IntoResponse,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response, S::Error>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Q) -> Self::Future {
        let ShedLayer { degradation, feature, answer } = &self.layer;
        match degradation.admit(*feature) {
            Ok(()) => Either::Right(self.inner.call(request)),
            Err(shed) => Either::Left(ready(Ok(answer(shed).into_response()))),
        }
    }
}

/// See [`Degradation::in_flight_layer`] and [`Degradation::latency_layer`].
pub struct GuardLayer<G> {
    load: Arc<Load>,
    enter: fn(&Arc<Load>) -> G,
}

impl<G> Clone for GuardLayer<G> {
    fn clone(&self) -> Self {
        Self { load: Arc::clone(&self.load), enter: self.enter }
    }
}

impl<S, G> Layer<S> for GuardLayer<G> {
    type Service = Layered<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Layered { inner, layer: self.clone() }
    }
}

impl<S: Service<Q>, G, Q> Service<Q> for Layered<S, GuardLayer<G>> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Guarded<S::Future, G>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Q) -> Self::Future {
        let guard = (self.layer.enter)(&self.layer.load);
        Guarded { inner: self.inner.call(request), guard }
    }
}

pin_project! {
    /// A request with its guard, which is dropped with the answer or when the caller leaves.
    pub struct Guarded<F, G> {
        #[pin]
        inner: F,
        guard: G,
    }
}

impl<F: Future, G> Future for Guarded<F, G> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().inner.poll(cx)
    }
}
