//! Two shapes of layers, so that each layer of this crate is one function: [`Gate`] looks at a request's head without
//! boxing a future, [`Around`] runs before and after the rest.

use axum::{extract::Request, response::Response};
use futures_util::future::{BoxFuture, Either, Ready, ready};
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// Decides on a request's head: `Ok` lets it on, `Err` is its answer.
pub trait Decide: Fn(&mut Request) -> Result<(), Box<Response>> + Clone + Send + Sync + 'static {}

impl<F: Fn(&mut Request) -> Result<(), Box<Response>> + Clone + Send + Sync + 'static> Decide for F {}

/// The layer of a function that decides.
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

impl<F: Decide, S: Service<Request, Response = Response>> Service<Request> for Gated<F, S> {
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

/// What stands around the rest of a stack.
pub trait Wrap: Clone + Send + 'static {
    /// Answers a request, by `inner` or without it.
    fn answer<S>(
        self,
        request: Request,
        inner: S,
    ) -> impl Future<Output = Result<Response, S::Error>> + Send + 'static
    where
        S: Service<Request, Response = Response, Future: Send> + Send + 'static;
}

/// The layer of what stands around; see [`Wrap`].
#[derive(Clone, Copy, Debug)]
pub struct Around<W>(pub(crate) W);

/// A service with something [`Around`] it.
#[derive(Clone, Debug)]
pub struct Wrapped<W, S> {
    wrap: W,
    inner: S,
}

impl<W: Clone, S> Layer<S> for Around<W> {
    type Service = Wrapped<W, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Wrapped { wrap: self.0.clone(), inner }
    }
}

impl<W, S> Service<Request> for Wrapped<W, S>
where
    W: Wrap,
    S: Service<Request, Response = Response, Future: Send> + Clone + Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let clone = self.inner.clone();
        // The clone may not be ready.
        let inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(self.wrap.clone().answer(request, inner))
    }
}
