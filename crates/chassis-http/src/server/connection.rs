//! Connections: no more at once than are allowed, each with bounded patience for a caller that sends, reads or asks for
//! nothing. hyper bounds the time for headers of HTTP/1 alone.

use super::Seldom;
use crate::metrics as names;
use axum::{Router, body::Body, extract::ConnectInfo, routing::RouterIntoService};
use axum_server::{AddrListener, Address, ConnectionShutdown};
use bytes::Bytes;
use chassis_telemetry::{http::Encrypted, names::LABEL_LISTENER};
use futures_util::future::BoxFuture;
use http::{Request, Response, Version};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use metrics::{Counter, Gauge};
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_io_timeout::TimeoutWriter;
use tokio_util::io::{InspectReader, InspectWriter};
use tower::Service;
use tracing::Instrument;

/// How long a connection may take to close once it has been told to and nothing is in hand.
const FAREWELL: Duration = Duration::from_secs(1);

/// A listener that accepts only while there is room; more connections wait in the system's backlog.
#[derive(Debug)]
pub(super) struct Limited {
    pub name: &'static str,
    pub tcp: TcpListener,
    pub room: Arc<Semaphore>,
    pub patience: Duration,
    pub full: Seldom,
}

impl Limited {
    async fn permit(&self) -> io::Result<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            return Ok(permit);
        }
        metrics::counter!(names::CONNECTIONS_LIMIT_REACHED, LABEL_LISTENER => self.name).increment(1);
        if self.full.is_due() {
            tracing::warn!(listener = self.name, "as many connections are open as are allowed, more wait");
        }
        Arc::clone(&self.room).acquire_owned().await.map_err(io::Error::other)
    }
}

/// A connection that gives up on an answer that the other end does not take, and notes what goes through it.
pub(super) type Stream = InspectReader<InspectWriter<Pin<Box<TimeoutWriter<TcpStream>>>, Note>, Note>;

type Note = Box<dyn FnMut(&[u8]) + Send>;

impl AddrListener<Stream, Peer> for Limited {
    async fn bind_to(_: Peer) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn accept_stream(&self) -> io::Result<(Stream, Peer)> {
        let permit = self.permit().await?;
        let (tcp, address) = self.tcp.accept().await?;
        // Answers are complete: waiting for more of them to fill a packet only delays them. The option can't be set on
        // a connection that is already gone.
        let _ = tcp.set_nodelay(true);
        let activity = Arc::new(Activity::begin());
        let mut stream = TimeoutWriter::new(tcp);
        stream.set_timeout(Some(self.patience));
        let (reading, writing) = (Open::new(self, permit, &activity), Arc::clone(&activity));
        let stream = InspectWriter::new(Box::pin(stream), Box::new(move |_: &[u8]| writing.wrote()) as Note);
        let note = move |_: &[u8]| reading.activity.unanswered.store(true, Relaxed);
        Ok((InspectReader::new(stream, Box::new(note)), Peer { address, activity }))
    }

    fn get_local_addr(&self) -> io::Result<Peer> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The other end of a connection, and what the connection is doing.
#[derive(Clone)]
pub(super) struct Peer {
    address: SocketAddr,
    activity: Arc<Activity>,
}

impl Address for Peer {
    type Stream = Stream;
    type Listener = Limited;
}

/// Counts a connection while it is open, and whether the other end was too slow when it is closed.
struct Open {
    activity: Arc<Activity>,
    patience: Duration,
    open: Gauge,
    timed_out: Counter,
    _permit: OwnedSemaphorePermit,
}

impl Open {
    fn new(listener: &Limited, permit: OwnedSemaphorePermit, activity: &Arc<Activity>) -> Self {
        let open = metrics::gauge!(names::CONNECTIONS, LABEL_LISTENER => listener.name);
        open.increment(1.0);
        let timed_out = metrics::counter!(names::CONNECTIONS_TIMED_OUT);
        let (activity, patience) = (Arc::clone(activity), listener.patience);
        Self { activity, patience, open, timed_out, _permit: permit }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.open.decrement(1.0);
        if self.activity.is_slow(self.patience) {
            self.timed_out.increment(1);
        }
    }
}

/// What one connection is doing. Times are milliseconds since it began.
struct Activity {
    begun: Instant,
    /// Requests that wait for us, not for the other end: handlers at work, and bodies without a next frame.
    in_hand: AtomicU32,
    /// When the last of them was done.
    done: AtomicU64,
    /// When something was last written, and whether something was read since.
    written: AtomicU64,
    unanswered: AtomicBool,
    requested: AtomicBool,
    watched: AtomicBool,
}

impl Activity {
    fn begin() -> Self {
        Self {
            begun: Instant::now(),
            in_hand: AtomicU32::new(0),
            done: AtomicU64::new(0),
            written: AtomicU64::new(0),
            unanswered: AtomicBool::new(false),
            requested: AtomicBool::new(false),
            watched: AtomicBool::new(false),
        }
    }

    fn wrote(&self) {
        self.unanswered.store(false, Relaxed);
        self.written.store(self.begun.elapsed().as_millis() as u64, Relaxed);
    }

    fn since(&self, time: &AtomicU64) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_millis(time.load(Relaxed)))
    }

    /// Whether, as it is closed now, the other end was too slow with its first bytes or with headers. One that merely
    /// idled between requests was not.
    fn is_slow(&self, patience: Duration) -> bool {
        let asked = self.requested.load(Relaxed);
        let waited = if asked { self.since(&self.written) } else { self.begun.elapsed() };
        let owes = !asked || self.unanswered.load(Relaxed);
        owes && waited >= patience && self.in_hand.load(Relaxed) == 0
    }

    fn idle_for(&self) -> Duration {
        if self.in_hand.load(Relaxed) > 0 { Duration::ZERO } else { self.since(&self.done) }
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
        self.0.done.store(self.0.begun.elapsed().as_millis() as u64, Relaxed);
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
}

/// Closes a connection of HTTP/2 once it idles: a peer that answers pings and asks for nothing would stay for ever.
async fn close_when_idle(activity: Weak<Activity>, shutdown: ConnectionShutdown, patience: Duration) {
    // A connection that has ended leaves nothing to upgrade to.
    let idle_for = || activity.upgrade().map(|activity| activity.idle_for());
    while let Some(left) = idle_for().map(|idle| patience.saturating_sub(idle)) {
        if left.is_zero() {
            shutdown.graceful_shutdown();
            break;
        }
        sleep(left).await;
    }
    while idle_for().is_some() {
        sleep(FAREWELL).await;
        if idle_for().is_some_and(|idle| idle >= FAREWELL) {
            shutdown.shutdown();
        }
    }
}

impl Service<Request<Incoming>> for Connection {
    type Response = Response<HeldBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<HeldBody>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.router.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        let activity = Arc::clone(&self.peer.activity);
        activity.requested.store(true, Relaxed);
        activity.unanswered.store(false, Relaxed);
        if request.version() == Version::HTTP_2
            && !activity.watched.swap(true, Relaxed)
            && let Some(shutdown) = request.extensions().get::<ConnectionShutdown>()
        {
            let closed = close_when_idle(Arc::downgrade(&activity), shutdown.clone(), self.patience);
            #[expect(
                clippy::disallowed_methods,
                reason = "it is no request's, and ends with the connection"
            )]
            tokio::spawn(closed.in_current_span());
        }
        request.extensions_mut().insert(ConnectInfo(self.peer.address));
        if self.encrypted {
            request.extensions_mut().insert(Encrypted);
        }
        let in_hand = InHand::new(&activity);
        let answered = self.router.call(request);
        Box::pin(async move {
            let answer = answered.await;
            drop(in_hand);
            answer.map(|answer| answer.map(|body| HeldBody { body, activity, in_hand: None }))
        })
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
        if polled.is_ready() {
            this.in_hand = None;
        } else {
            this.in_hand.get_or_insert_with(|| InHand::new(&this.activity));
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
