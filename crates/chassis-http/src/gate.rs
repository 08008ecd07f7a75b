//! Two shapes of layers, so that each layer of this crate is one function: [`Gate`] looks at a request's head without
//! boxing a future, [`Around`] is axum's layer of a function.

use axum::extract::{Request, State};
use axum::middleware::{FromFnLayer, Next};
use axum::response::Response;
use futures_util::future::{BoxFuture, Either, Ready, ready};
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// Decides on a request's head: `Ok` lets it on, `Err` is its answer.
pub trait Decide: Fn(&mut Request) -> Result<(), Box<Response>> + Clone + Send + Sync + 'static {}

impl<F: Fn(&mut Request) -> Result<(), Box<Response>> + Clone + Send + Sync + 'static> Decide for F {}

/// The layer of a function that decides.
#[derive(Clone)]
pub struct Gate<F>(pub F);

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

/// The layer of an asynchronous function with settings `T` around the rest of the stack.
pub type Around<T> =
    FromFnLayer<fn(State<T>, Request, Next) -> BoxFuture<'static, Response>, T, (State<T>, Request)>;
