//! Axum layers: one sheds a route, two measure requests for the controller.

use super::{Degradation, Feature, Shed};
use axum::extract::Request;
use axum::middleware::{FromFnLayer, Next, from_fn};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

/// A layer of [`axum::middleware::from_fn`] that calls `F`.
pub type Middleware<F> = FromFnLayer<F, (), (Request,)>;

impl Degradation {
    /// Sheds everything below this layer while `feature` is shed. `answer` makes the response, such as a 503
    /// problem with `Retry-After`.
    pub fn shed_layer<R: IntoResponse + 'static>(
        &self,
        feature: Feature,
        answer: fn(Shed) -> R,
    ) -> Middleware<impl Fn(Request, Next) -> BoxFuture<'static, Response> + Clone + Send + Sync + use<R>>
    {
        let degradation = self.clone();
        from_fn(move |request, next: Next| match degradation.admit(feature) {
            Ok(()) => next.run(request).boxed(),
            Err(shed) => std::future::ready(answer(shed).into_response()).boxed(),
        })
    }

    /// Counts requests in flight. Goes around everything that is served.
    pub fn in_flight_layer(
        &self,
    ) -> Middleware<impl Fn(Request, Next) -> BoxFuture<'static, Response> + Clone + Send + Sync + use<>>
    {
        let degradation = self.clone();
        from_fn(move |request, next: Next| {
            let guard = degradation.0.load.enter();
            next.run(request).inspect(move |_| drop(guard)).boxed()
        })
    }

    /// Holds the latency of requests against `degradation.latency`. Goes around routes that wait for nobody
    /// outside: a slow gateway is no overload.
    pub fn latency_layer(
        &self,
    ) -> Middleware<impl Fn(Request, Next) -> BoxFuture<'static, Response> + Clone + Send + Sync + use<>>
    {
        let degradation = self.clone();
        from_fn(move |request, next: Next| {
            let guard = degradation.0.load.watch();
            next.run(request).inspect(move |_| drop(guard)).boxed()
        })
    }
}
