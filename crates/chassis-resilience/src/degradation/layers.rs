//! Axum layers: one sheds a route, two measure requests for the controller.

use super::{Degradation, Feature, Shed};
use axum::extract::{Request, State};
use axum::middleware::{FromFnLayer, Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use chassis_telemetry::{Begin, Observe};
use futures_util::{FutureExt, future::BoxFuture};
use std::sync::Arc;

/// The layer of a function with settings `T`.
type Middleware<T> =
    FromFnLayer<fn(State<T>, Request, Next) -> BoxFuture<'static, Response>, T, (State<T>, Request)>;

/// What sheds a feature, and what answers then.
type Shedding<R> = (Degradation, Feature, fn(Shed) -> R);

impl Degradation {
    /// Sheds everything below this layer while `feature` is shed. `answer` makes the response, such as a 503
    /// problem with `Retry-After`.
    pub fn shed_layer<R: IntoResponse + 'static>(
        &self,
        feature: Feature,
        answer: fn(Shed) -> R,
    ) -> Middleware<Shedding<R>> {
        from_fn_with_state((self.clone(), feature, answer), |State((own, feature, answer)), request, next| {
            match own.admit(feature) {
                Ok(()) => next.run(request).boxed(),
                Err(shed) => std::future::ready(answer(shed).into_response()).boxed(),
            }
        })
    }

    /// Counts requests in flight. Goes around everything that is served.
    pub fn in_flight_layer(&self) -> Observe<impl Begin> {
        let load = Arc::clone(&self.0.load);
        Observe(move |_: &mut Request| until_answered(load.enter()))
    }

    /// Holds the latency of requests against `degradation.latency`. Goes around routes that wait for nobody
    /// outside: a slow gateway is no overload.
    pub fn latency_layer(&self) -> Observe<impl Begin> {
        let load = Arc::clone(&self.0.load);
        Observe(move |_: &mut Request| until_answered(load.watch()))
    }
}

/// Keeps a guard until the response is there, or the caller has left.
fn until_answered(guard: impl Send) -> impl FnOnce(Response) -> Response + Send {
    move |response| {
        drop(guard);
        response
    }
}
