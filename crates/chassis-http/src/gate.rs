//! A layer that looks at each request's head and lets it on or answers it, without boxing a future.

use axum::{extract::Request, response::Response};
use futures_util::future::{Either, Ready, ready};
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// The layer. `F` decides: `Ok` lets the request on, `Err` is its answer.
#[derive(Clone)]
pub struct Gate<F>(pub(crate) F);

/// A service behind a [`Gate`].
#[derive(Clone)]
pub struct Gated<F, S> {
    decide: F,
    inner: S,
}

impl<F: Clone, S> Layer<S> for Gate<F> {
    type Service = Gated<F, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated { decide: self.0.clone(), inner }
    }
}

impl<F, S> Service<Request> for Gated<F, S>
where
    F: Fn(&mut Request) -> Result<(), Box<Response>>,
    S: Service<Request, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        match (self.decide)(&mut request) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(answer) => Either::Right(ready(Ok(*answer))),
        }
    }
}
