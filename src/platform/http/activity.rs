//! What a connection is doing, as far as it decides whether its end is worth a word, and when it has idled
//! long enough.

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// One connection's. Cheap to clone.
#[derive(Clone)]
pub(super) struct Activity(Arc<State>);

struct State {
    begun: Instant,
    busy: AtomicBool,
    http2: AtomicBool,
    in_hand: AtomicU32,
    /// When the last one in hand was done, in milliseconds since `begun`.
    done: AtomicU32,
}

impl Activity {
    pub fn begin() -> Self {
        Self(Arc::new(State {
            begun: Instant::now(),
            busy: AtomicBool::new(true),
            http2: AtomicBool::new(false),
            in_hand: AtomicU32::new(0),
            done: AtomicU32::new(0),
        }))
    }

    /// Whether bytes came that were not answered, or none ever came: a time-out then is a slow caller's,
    /// while the end of an idle connection is nothing to be told.
    pub fn is_busy(&self) -> bool {
        self.0.busy.load(Relaxed)
    }

    pub fn set_busy(&self, busy: bool) {
        self.0.busy.store(busy, Relaxed);
    }

    /// Notes that HTTP/2 is spoken, where requests are many at a time and hyper bounds no wait for headers.
    pub fn is_http2(&self) {
        self.0.http2.store(true, Relaxed);
    }

    /// Holds a request for as long as it is in hand: until its whole answer has been taken.
    pub fn hold(&self) -> InHand {
        self.0.in_hand.fetch_add(1, Relaxed);
        InHand(self.clone())
    }

    /// Resolves when HTTP/2 is spoken and no request has been in hand for this time, from now on.
    pub async fn idle(&self, time: Duration) {
        let mut since = Instant::now();
        loop {
            sleep_until(since + time).await;
            let now = Instant::now();
            if !self.0.http2.load(Relaxed) || self.0.in_hand.load(Relaxed) > 0 {
                since = now;
                continue;
            }
            since = since.max(self.0.begun + Duration::from_millis(self.0.done.load(Relaxed).into()));
            if since + time <= now {
                return;
            }
        }
    }
}

/// A request in hand.
pub(super) struct InHand(Activity);

impl Drop for InHand {
    fn drop(&mut self) {
        let State { begun, in_hand, done, .. } = &*self.0.0;
        // Wraps after seven weeks on one connection, whose only harm is one early end.
        done.store(begun.elapsed().as_millis() as u32, Relaxed);
        in_hand.fetch_sub(1, Relaxed);
    }
}

/// An answer's body that keeps its request in hand, where that is of interest.
pub(super) struct HeldBody {
    pub body: Body,
    pub _held: Option<InHand>,
}

impl http_body::Body for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{sleep, timeout};

    const TIME: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn an_idle_connection_ends_after_its_time() {
        let activity = Activity::begin();
        activity.is_http2();
        let begun = Instant::now();
        activity.idle(TIME).await;
        assert!(begun.elapsed() >= TIME);
    }

    #[tokio::test]
    async fn a_request_in_hand_keeps_it_and_the_time_begins_anew_with_its_end() {
        let activity = Activity::begin();
        activity.is_http2();
        let held = activity.hold();
        let begun = Instant::now();
        let idle = activity.idle(TIME);
        let answer = async {
            sleep(TIME * 5).await;
            drop(held);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = idle => {}
            () = answer => {}
        }
        assert!(begun.elapsed() >= TIME * 6);
    }

    #[tokio::test]
    async fn http_1_is_not_ended_here() {
        let activity = Activity::begin();
        assert!(timeout(TIME * 5, activity.idle(TIME)).await.is_err());
    }
}
