//! What a connection is doing, and the end of one of HTTP/2 that does nothing: hyper bounds the time for headers of
//! HTTP/1 alone, and a peer that answers pings and asks for nothing would stay for ever.

use super::listener::Peer;
use axum::{Router, body::Body, extract::ConnectInfo, routing::RouterIntoService};
use axum_server::ConnectionShutdown;
use bytes::Bytes;
use chassis_telemetry::http::Encrypted;
use futures_util::{FutureExt, future::Map};
use http::{Request, Response, Version};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::time::sleep;
use tower::Service;
use tracing::Instrument;

/// How long a connection may take to close once it has been told to and nothing is in hand.
const FAREWELL: Duration = Duration::from_secs(1);

/// What one connection is doing. Times are milliseconds since it began.
pub(super) struct Activity {
    begun: Instant,
    /// Requests that wait for us, not for the other end: handlers at work, and bodies without a next frame.
    in_hand: AtomicU32,
    /// When the last of them was done.
    done: AtomicU64,
    /// When something was last written.
    written: AtomicU64,
    /// Whether something was read since.
    unanswered: AtomicBool,
    requested: AtomicBool,
    /// Whether the other end has closed.
    ended: AtomicBool,
    watched: AtomicBool,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            in_hand: AtomicU32::new(0),
            done: AtomicU64::new(0),
            written: AtomicU64::new(0),
            unanswered: AtomicBool::new(false),
            requested: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            watched: AtomicBool::new(false),
        }
    }
}

impl Activity {
    pub fn read(&self) {
        self.unanswered.store(true, Relaxed);
    }

    pub fn wrote(&self) {
        self.unanswered.store(false, Relaxed);
        self.written.store(self.now(), Relaxed);
    }

    pub fn ended(&self) {
        self.ended.store(true, Relaxed);
    }

    /// Whether, as it is closed now, the other end was too slow with its first bytes or with headers. One that merely
    /// idled between requests was not.
    pub fn is_slow(&self, patience: Duration) -> bool {
        let since = |time: u64| self.begun.elapsed() >= patience.saturating_add(Duration::from_millis(time));
        if self.ended.load(Relaxed) || self.in_hand.load(Relaxed) > 0 {
            return false;
        }
        if !self.requested.load(Relaxed) {
            return since(0);
        }
        self.unanswered.load(Relaxed) && since(self.written.load(Relaxed))
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    fn idle_for(&self) -> Duration {
        if self.in_hand.load(Relaxed) > 0 {
            return Duration::ZERO;
        }
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.done.load(Relaxed)))
    }
}

/// A request while it waits for us.
struct InHand(Arc<Activity>);

impl InHand {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.in_hand.fetch_add(1, Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.done.store(self.0.now(), Relaxed);
        self.0.in_hand.fetch_sub(1, Relaxed);
    }
}

/// What answers the requests of one connection.
#[derive(Clone)]
pub(super) struct Connection {
    router: RouterIntoService<Incoming>,
    peer: Peer,
    encrypted: bool,
    patience: Duration,
}

impl Connection {
    pub fn new(router: Router, peer: Peer, encrypted: bool, patience: Duration) -> Self {
        Self { router: router.into_service(), peer, encrypted, patience }
    }

    /// Has a connection of HTTP/2 closed once it idles.
    fn watch(&self, request: &Request<Incoming>) {
        let activity = &self.peer.activity;
        if request.version() != Version::HTTP_2 || activity.watched.swap(true, Relaxed) {
            return;
        }
        if let Some(shutdown) = request.extensions().get::<ConnectionShutdown>() {
            let closed = close_when_idle(Arc::downgrade(activity), shutdown.clone(), self.patience);
            tokio::spawn(closed.in_current_span());
        }
    }
}

async fn close_when_idle(activity: Weak<Activity>, shutdown: ConnectionShutdown, patience: Duration) {
    // A connection that has ended leaves nothing to upgrade to.
    let idle_for = || activity.upgrade().map(|activity| activity.idle_for());
    while let Some(idle) = idle_for() {
        let Some(left) = patience.checked_sub(idle).filter(|left| !left.is_zero()) else { break };
        sleep(left).await;
    }
    shutdown.graceful_shutdown();
    while idle_for().is_some() {
        sleep(FAREWELL).await;
        if idle_for().is_some_and(|idle| idle >= FAREWELL) {
            shutdown.shutdown();
        }
    }
}

type Answered = <RouterIntoService<Incoming> as Service<Request<Incoming>>>::Future;
type Held =
    Box<dyn FnOnce(Result<Response<Body>, Infallible>) -> Result<Response<HeldBody>, Infallible> + Send>;

impl Service<Request<Incoming>> for Connection {
    type Response = Response<HeldBody>;
    type Error = Infallible;
    type Future = Map<Answered, Held>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Incoming>>::poll_ready(&mut self.router, cx)
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        let activity = &self.peer.activity;
        activity.requested.store(true, Relaxed);
        activity.unanswered.store(false, Relaxed);
        self.watch(&request);
        request.extensions_mut().insert(ConnectInfo(self.peer.address));
        if self.encrypted {
            request.extensions_mut().insert(Encrypted);
        }
        let (in_hand, activity) = (InHand::new(activity), Arc::clone(activity));
        let held: Held = Box::new(move |answer: Result<Response<Body>, Infallible>| {
            drop(in_hand);
            answer.map(|answer| answer.map(|body| HeldBody { body, activity, in_hand: None }))
        });
        self.router.call(request).map(held)
    }
}

/// An answer's body. Its request is in hand while we make the next frame, not while the other end has no room for one.
pub(super) struct HeldBody {
    body: Body,
    activity: Arc<Activity>,
    in_hand: Option<InHand>,
}

impl http_body::Body for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match polled {
            Poll::Pending => {
                this.in_hand.get_or_insert_with(|| InHand::new(&this.activity));
            }
            Poll::Ready(_) => this.in_hand = None,
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
