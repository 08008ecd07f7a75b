//! The layer of a function that sees a request's head and returns what sees its response. It boxes no future and clones
//! nothing of what is inside, as axum's `from_fn` has to for every request.

use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::TryFutureExt;
use futures_util::future::MapOk;
use tower::{Layer, Service};

/// Begins to observe a request. What it returns is dropped uncalled when the caller leaves before the response.
pub trait Begin: Fn(&mut Request) -> Self::End + Clone + Send + Sync + 'static {
    type End: FnOnce(Response) -> Response + Send;
}

impl<F, E> Begin for F
where
    F: Fn(&mut Request) -> E + Clone + Send + Sync + 'static,
    E: FnOnce(Response) -> Response + Send,
{
    type End = E;
}

/// The layer of such a function.
#[derive(Clone)]
pub struct Observe<F>(pub F);

/// A service behind an [`Observe`].
#[derive(Clone)]
pub struct Observed<F, S> {
    begin: F,
    inner: S,
}

impl<F: Clone, S> Layer<S> for Observe<F> {
    type Service = Observed<F, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Observed { begin: self.0.clone(), inner }
    }
}

impl<F: Begin, S: Service<Request, Response: IntoResponse>> Service<Request> for Observed<F, S> {
    type Response = Response;
    type Error = S::Error;
    type Future = MapOk<MapOk<S::Future, fn(S::Response) -> Response>, F::End>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let end = (self.begin)(&mut request);
        let into_response: fn(S::Response) -> Response = IntoResponse::into_response;
        self.inner.call(request).map_ok(into_response).map_ok(end)
    }
}
