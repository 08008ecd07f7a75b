//! Reading on after an early answer. A caller that is still writing a large body when the connection closes gets a
//! reset instead of the answer, so what is left of the body is read for a little while.

use axum::{body::Body, extract::Request};
use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{BoxFuture, Either},
    stream::poll_fn,
};
use http::{Version, header};
use http_body::Body as _;
use http_body_util::StreamBody;
use parking_lot::Mutex;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tower::{Layer, Service};

/// Bodies below this, in bytes, have arrived before anybody answers.
const SMALL: u64 = 16 * 1024;
/// How much of an unread body is read, in bytes, and for how long.
const MOST: usize = 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(1);

/// See [`layers::linger`](crate::layers::linger).
#[derive(Clone, Copy, Debug)]
pub struct LingerLayer;

/// The service of [`LingerLayer`].
#[derive(Clone, Debug)]
pub struct Linger<S>(S);

impl<S> Layer<S> for LingerLayer {
    type Service = Linger<S>;

    fn layer(&self, inner: S) -> Linger<S> {
        Linger(inner)
    }
}

impl<S: Service<Request, Response: Send, Future: Send + 'static>> Service<Request> for Linger<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // HTTP/2 resets one stream, which loses nothing. A caller that waits for 100 has not begun to write.
        let small = request.body().size_hint().upper().is_some_and(|upper| upper < SMALL);
        if small || request.version() == Version::HTTP_2 || request.headers().contains_key(header::EXPECT) {
            return Either::Left(self.0.call(request));
        }
        let (parts, body) = request.into_parts();
        let body = Arc::new(Mutex::new(body));
        let frames = |body: &Arc<Mutex<Body>>| {
            let body = Arc::clone(body);
            poll_fn(move |cx| Pin::new(&mut *body.lock()).poll_frame(cx))
        };
        let shared = Body::new(StreamBody::new(frames(&body)));
        let answered = self.0.call(Request::from_parts(parts, shared));
        let mut left = frames(&body);
        Either::Right(Box::pin(async move {
            let answer = answered.await?;
            let drained = async {
                let mut read = 0;
                while let (Some(Ok(frame)), true) = (left.next().await, read < MOST) {
                    read += frame.data_ref().map_or(0, Bytes::len);
                }
            };
            let _ = tokio::time::timeout(PATIENCE, drained).await;
            Ok(answer)
        }))
    }
}
