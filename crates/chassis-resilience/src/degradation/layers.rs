//! Tower layers: one sheds a route, two measure requests for the controller.

use super::{Degradation, Feature, Shed, load::Guard};
use axum::response::{IntoResponse, Response};
use futures_util::future::{Either, Ready, ready};
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tower::{Layer, Service};

impl Degradation {
    /// Sheds everything below this layer while `feature` is shed. `answer` makes the response, such as a 503
    /// problem with `Retry-After`.
    pub fn shed_layer<R: IntoResponse>(
        &self,
        feature: Feature,
        answer: fn(Shed) -> R,
    ) -> EnterLayer<impl Fn() -> Result<(), Response> + Clone + use<R>> {
        let degradation = self.clone();
        EnterLayer(move || degradation.admit(feature).map_err(|shed| answer(shed).into_response()))
    }

    /// Counts requests in flight. Goes around everything that is served.
    pub fn in_flight_layer(&self) -> EnterLayer<impl Fn() -> Result<Guard, Response> + Clone + use<>> {
        let degradation = self.clone();
        EnterLayer(move || Ok(degradation.0.load.enter()))
    }

    /// Holds the latency of requests against `degradation.latency`. Goes around routes that wait for nobody
    /// outside: a slow gateway is no overload.
    pub fn latency_layer(&self) -> EnterLayer<impl Fn() -> Result<Guard, Response> + Clone + use<>> {
        let degradation = self.clone();
        EnterLayer(move || Ok(degradation.0.load.watch()))
    }
}

/// Enters each request: it passes with a guard, or is answered at once.
#[derive(Clone)]
pub struct EnterLayer<E>(E);

/// The service of [`EnterLayer`].
#[derive(Clone)]
pub struct Entering<S, E>(S, E);

impl<S, E: Clone> Layer<S> for EnterLayer<E> {
    type Service = Entering<S, E>;

    fn layer(&self, inner: S) -> Self::Service {
        Entering(inner, self.0.clone())
    }
}

impl<S, Q, E, G> Service<Q> for Entering<S, E>
where
    S: Service<Q, Response = Response>,
    E: Fn() -> Result<G, Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Either<Guarded<S::Future, G>, Ready<Result<Response, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Q) -> Self::Future {
        match (self.1)() {
            Ok(guard) => Either::Left(Guarded { inner: self.0.call(request), guard }),
            Err(answer) => Either::Right(ready(Ok(answer))),
        }
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
