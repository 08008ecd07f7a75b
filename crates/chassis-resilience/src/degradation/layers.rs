//! Axum layers: one sheds a route, two measure requests for the controller.

use super::{Degradation, Feature, Shed};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use chassis_http::{Decide, Gate};
use chassis_telemetry::{Begin, Observe};
use std::sync::Arc;

impl Degradation {
    /// Sheds everything below this layer while `feature` is shed. `answer` makes the response, such as a 503
    /// problem with `Retry-After`.
    pub fn shed_layer<R: IntoResponse + 'static>(
        &self,
        feature: Feature,
        answer: fn(Shed) -> R,
    ) -> Gate<impl Decide> {
        let own = self.clone();
        Gate(move |_: &mut Request| own.admit(feature).map_err(|shed| Box::new(answer(shed).into_response())))
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
