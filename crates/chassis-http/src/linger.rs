//! Reading on after an early answer. A caller that is still writing a large body when the connection closes gets a
//! reset instead of the answer, so what is left of the body is read for a little while.

use axum::{body::Body, extract::Request};
use bytes::Bytes;
use futures_util::future::{BoxFuture, Either};
use http::{Version, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
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

impl<S> Service<Request> for Linger<S>
where
    S: Service<Request, Response: Send>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // HTTP/2 resets one stream, which loses nothing. A caller that waits for 100 has not begun to write.
        let size = request.body().size_hint();
        let small = size.upper().is_some_and(|upper| upper < SMALL);
        if small || request.version() == Version::HTTP_2 || request.headers().contains_key(header::EXPECT) {
            return Either::Left(self.0.call(request));
        }
        let unread = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&unread);
        let answered = self.0.call(request.map(|body| Body::new(Returned { body: Some(body), slot })));
        Either::Right(Box::pin(async move {
            let response = answered.await?;
            let left = unread.lock().take();
            if let Some(body) = left {
                let _ = tokio::time::timeout(PATIENCE, drain(body)).await;
            }
            Ok(response)
        }))
    }
}

async fn drain(mut body: Body) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > MOST {
            break;
        }
    }
}

/// A body that is put back when it is dropped unread.
struct Returned {
    body: Option<Body>,
    slot: Arc<Mutex<Option<Body>>>,
}

impl http_body::Body for Returned {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

impl Drop for Returned {
    fn drop(&mut self) {
        *self.slot.lock() = self.body.take().filter(|body| !body.is_end_stream());
    }
}
