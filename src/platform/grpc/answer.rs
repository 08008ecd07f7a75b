//! An answer's body on its way to the caller: told of at its trailers, ended at its deadline, and kept alive
//! while it is quiet.

use super::{
    observe::{Observed, code_of},
    status,
};
use bytes::Bytes;
use http::{HeaderMap, Response, header};
use http_body::{Frame, SizeHint};
use std::{
    convert::Infallible,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::time::{Sleep, sleep_until};
use tonic::{Code, Status, body::Body};

/// What bounds an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// When it has to be whole.
    pub until: Option<Instant>,
    /// The listener gives up a stream that makes no step for longer. A quiet answer takes one now and then, which
    /// it is asked for only as long as its caller has room: one that no longer reads is given up all the same.
    pub step: Duration,
}

/// Sends an answer, and tells of it when its code is known.
pub(super) fn send(
    mut observed: Observed,
    mut answer: Response<Body>,
    bounds: Bounds,
) -> axum::response::Response {
    observed.head(&mut answer);
    if let Some(code) = code_of(answer.headers()) {
        observed.tell(code);
        return answer.map(|_| axum::body::Body::empty());
    }
    answer.map(|body| axum::body::Body::new(Answer { body, observed: Some(observed), bounds, alarm: None }))
}

struct Answer {
    body: Body,
    /// Until the code is known.
    observed: Option<Observed>,
    bounds: Bounds,
    /// Set when the answer is waited for: most never are.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Answer {
    /// Passes a frame on, and tells of the call if it is the last.
    fn pass(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        if let Some(trailers) = frame.trailers_ref() {
            // A caller reads trailers without a code as UNKNOWN, too.
            self.tell(code_of(trailers).unwrap_or(Code::Unknown));
        }
        frame
    }

    /// Ends the answer with a status of ours.
    fn end(&mut self, status: Status) -> Frame<Bytes> {
        self.body = Body::empty();
        self.tell(status.code());
        Frame::trailers(trailers(status))
    }

    fn tell(&mut self, code: Code) {
        if let Some(observed) = self.observed.take() {
            observed.tell(code);
        }
    }

    /// Waits for the deadline, step by step; ready when it has passed.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = Instant::now();
            let next = now + self.bounds.step / 2;
            let next = self.bounds.until.map_or(next, |until| until.min(next));
            if self.bounds.until.is_some_and(|until| until <= now) {
                return Poll::Ready(());
            }
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(next.into())));
            std::task::ready!(alarm.as_mut().poll(cx));
            self.alarm = None;
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let Some(observed) = &this.observed else { return Poll::Ready(None) };
        let body = &mut this.body;
        let polled =
            observed.span().in_scope(|| catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(cx))));
        let frame = match polled {
            Ok(Poll::Ready(Some(Ok(frame)))) => this.pass(frame),
            Ok(Poll::Ready(Some(Err(status)))) => this.end(status),
            // An answer without trailers says nothing of how it went.
            Ok(Poll::Ready(None)) => this.end(Status::unknown("the answer broke off")),
            Ok(Poll::Pending) => match this.poll_late(cx) {
                Poll::Ready(()) => this.end(status::too_late()),
                Poll::Pending => return Poll::Pending,
            },
            // The panic hook has written the line, inside the span.
            Err(_) => this.end(status::internal()),
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.observed.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn trailers(status: Status) -> HeaderMap {
    let (mut head, ()) = status.into_http::<()>().into_parts();
    head.headers.remove(header::CONTENT_TYPE);
    head.headers
}
