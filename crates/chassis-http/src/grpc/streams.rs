//! Streams that end with the listeners: a caller that watches would otherwise hold up the shutdown.

use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{Either, Map};
use http::{HeaderMap, HeaderValue};
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tower::{Layer, Service};

/// Which side of a call is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Request,
    Answer,
}

/// A layer that ends streams at `stop`: the caller reads OK.
#[derive(Clone, Debug)]
pub(super) struct Stoppable {
    stop: CancellationToken,
    side: Stream,
}

impl Stoppable {
    pub fn new(stop: CancellationToken, side: Stream) -> Self {
        Self { stop, side }
    }

    fn end(&self, body: Body, trailers: Option<HeaderMap>) -> Body {
        let stop = Box::pin(self.stop.clone().cancelled_owned());
        Body::new(Ending { body, stop: Some(stop), trailers })
    }
}

impl<S> Layer<S> for Stoppable {
    type Service = Stopping<S>;

    fn layer(&self, inner: S) -> Stopping<S> {
        Stopping { inner, of: self.clone() }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Stopping<S> {
    inner: S,
    of: Stoppable,
}

type OnAnswer<E> = Box<dyn FnOnce(Result<Response, E>) -> Result<Response, E> + Send>;

impl<S: Service<Request, Response = Response>> Service<Request> for Stopping<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = Either<S::Future, Map<S::Future, OnAnswer<S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let of = self.of.clone();
        if of.side == Stream::Request {
            return Either::Left(self.inner.call(request.map(|body| of.end(body, None))));
        }
        let answered: OnAnswer<S::Error> = Box::new(move |answer| {
            let ok = HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))]);
            answer.map(|answer| answer.map(|body| of.end(body, Some(ok))))
        });
        Either::Right(self.inner.call(request).map(answered))
    }
}

struct Ending {
    body: Body,
    /// `None` once it was ended.
    stop: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    trailers: Option<HeaderMap>,
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(stop) = &mut self.stop else { return Poll::Ready(None) };
        let stopped = stop.as_mut().poll(cx).is_ready();
        // First what is there already: who watches learns of the end in time.
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() || !stopped {
            return polled;
        }
        self.stop = None;
        self.body = Body::empty();
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.stop.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
