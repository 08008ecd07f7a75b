//! Connections: no more at once than are allowed, each with bounded patience for a caller that sends, reads or asks for
//! nothing. hyper bounds the time for headers of HTTP/1 alone.

use crate::metrics as names;
use axum::{body::Body, extract::ConnectInfo, routing::RouterIntoService};
use axum_server::{AddrListener, Address, ConnectionShutdown};
use bytes::Bytes;
use chassis_telemetry::http::Encrypted;
use futures_util::{Stream, StreamExt, future::BoxFuture, stream::poll_fn};
use http::{Request, Response, Version, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::StreamBody;
use hyper::body::Incoming;
use metrics::Gauge;
use parking_lot::Mutex;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use std::{io, net::SocketAddr, pin::Pin};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutWriter;
use tokio_util::io::{InspectReader, InspectWriter};
use tower::Service;
use tracing::Instrument;

/// How long a connection may take to close once it has been told to and nothing is in hand.
const FAREWELL: Duration = Duration::from_secs(1);

/// Bodies below this, in bytes, have arrived before anybody answers.
const SMALL: u64 = 16 * 1024;
/// How much of an unread body is read once it is answered, in bytes, and for how long.
const MOST: usize = 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(1);

/// A listener that accepts only while there is room; more connections wait in the system's backlog.
#[derive(Debug)]
pub(super) struct Limited {
    pub name: &'static str,
    pub tcp: TcpListener,
    pub room: Arc<Semaphore>,
    pub patience: Duration,
    /// Whether there was no room when it was last looked for.
    pub full: AtomicBool,
}

impl Limited {
    async fn permit(&self) -> io::Result<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            self.full.store(false, Relaxed);
            return Ok(permit);
        }
        if !self.full.swap(true, Relaxed) {
            tracing::warn!(listener = self.name, "as many connections are open as are allowed, more wait");
        }
        loop {
            metrics::counter!(names::CONNECTIONS_LIMIT_REACHED, "listener" => self.name).increment(1);
            if let Ok(permit) = timeout(PATIENCE, Arc::clone(&self.room).acquire_owned()).await {
                return permit.map_err(io::Error::other);
            }
        }
    }
}

/// A connection that gives up on an answer that the other end does not take, and notes what goes through it.
pub(super) type Noted = InspectReader<InspectWriter<Pin<Box<TimeoutWriter<TcpStream>>>, Note>, Note>;

type Note = Box<dyn FnMut(&[u8]) + Send>;

impl AddrListener<Noted, Peer> for Limited {
    async fn bind_to(_: Peer) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn accept_stream(&self) -> io::Result<(Noted, Peer)> {
        let permit = self.permit().await?;
        let (tcp, address) = self.tcp.accept().await?;
        // Answers are complete. The option can't be set on a connection that is already gone.
        let _ = tcp.set_nodelay(true);
        let mut stream = TimeoutWriter::new(tcp);
        stream.set_timeout(Some(self.patience));
        let activity = Arc::new(Activity::begin(self, permit));
        let (reading, writing) = (Arc::clone(&activity), Arc::clone(&activity));
        let wrote: Note = Box::new(move |bytes| {
            writing.unanswered.store(false, Relaxed);
            writing.note(&writing.written);
            // An answer that is being taken is no idling; pings are shorter.
            (bytes.len() > 1024).then(|| writing.note(&writing.done));
        });
        // Nothing was read at the end.
        let read: Note = Box::new(move |bytes| _ = reading.unanswered.fetch_or(!bytes.is_empty(), Relaxed));
        let stream = InspectReader::new(InspectWriter::new(Box::pin(stream), wrote), read);
        Ok((stream, Peer { address, activity }))
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
    type Stream = Noted;
    type Listener = Limited;
}

/// What one connection is doing, counted while it is open. Times are milliseconds since it began.
struct Activity {
    begun: Instant,
    patience: Duration,
    /// Requests that wait for us, not for the other end: handlers at work, and bodies without a next frame.
    in_hand: AtomicU32,
    /// When the last of them was done.
    done: AtomicU64,
    /// When something was last written, and whether something was read since.
    written: AtomicU64,
    unanswered: AtomicBool,
    requested: AtomicBool,
    open: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Activity {
    fn begin(listener: &Limited, permit: OwnedSemaphorePermit) -> Self {
        let open = metrics::gauge!(names::CONNECTIONS, "listener" => listener.name);
        open.increment(1.0);
        Self {
            begun: Instant::now(),
            patience: listener.patience,
            in_hand: AtomicU32::new(0),
            done: AtomicU64::new(0),
            written: AtomicU64::new(0),
            unanswered: AtomicBool::new(false),
            requested: AtomicBool::new(false),
            open,
            _permit: permit,
        }
    }

    fn note(&self, time: &AtomicU64) {
        time.store(self.begun.elapsed().as_millis() as u64, Relaxed);
    }

    fn since(&self, time: &AtomicU64) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_millis(time.load(Relaxed)))
    }

    fn idle_for(&self) -> Duration {
        if self.in_hand.load(Relaxed) > 0 { Duration::ZERO } else { self.since(&self.done) }
    }
}

impl Drop for Activity {
    /// Counts an end that was too slow with its first bytes or with headers. One that merely idled between requests was
    /// not.
    fn drop(&mut self) {
        self.open.decrement(1.0);
        let asked = self.requested.load(Relaxed);
        let waited = if asked { self.since(&self.written) } else { self.begun.elapsed() };
        let owes = !asked || self.unanswered.load(Relaxed);
        if owes && waited >= self.patience {
            metrics::counter!(names::CONNECTIONS_TIMED_OUT).increment(1);
        }
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
        self.0.note(&self.0.done);
        self.0.in_hand.fetch_sub(1, Relaxed);
    }
}

/// What answers the requests of one connection.
#[derive(Clone)]
pub(super) struct Connection {
    pub router: RouterIntoService<Body>,
    pub peer: Peer,
    pub encrypted: bool,
}

/// Closes a connection of HTTP/2 once it idles: a peer that answers pings and asks for nothing would stay for ever.
async fn close_when_idle(activity: Weak<Activity>, shutdown: ConnectionShutdown) {
    let mut told = false;
    // A connection that has ended leaves nothing to upgrade to.
    while let Some(activity) = activity.upgrade() {
        let (idle, patience) = (activity.idle_for(), if told { FAREWELL } else { activity.patience });
        drop(activity);
        match (patience.saturating_sub(idle), told) {
            (Duration::ZERO, false) => {
                shutdown.graceful_shutdown();
                told = true;
                sleep(FAREWELL).await;
            }
            (Duration::ZERO, true) => return shutdown.shutdown(),
            (left, _) => sleep(left).await,
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
        activity.unanswered.store(false, Relaxed);
        let first = !activity.requested.swap(true, Relaxed);
        if first
            && request.version() == Version::HTTP_2
            && let Some(shutdown) = request.extensions().get::<ConnectionShutdown>()
        {
            let closed = close_when_idle(Arc::downgrade(&activity), shutdown.clone());
            #[expect(clippy::disallowed_methods, reason = "ends with the connection")]
            tokio::spawn(closed.in_current_span());
        }
        request.extensions_mut().insert(ConnectInfo(self.peer.address));
        if self.encrypted {
            request.extensions_mut().insert(Encrypted);
        }
        let in_hand = InHand::new(&activity);
        let (request, left) = lingering(request);
        let answered = self.router.call(request);
        Box::pin(async move {
            let answer = answered.await;
            drop(in_hand);
            if let Some(left) = left {
                let _ = timeout(PATIENCE, drain(left)).await;
            }
            answer.map(|answer| answer.map(|body| HeldBody { body, activity, in_hand: None }))
        })
    }
}

type Frames = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, hyper::Error>> + Send>>;

/// A request, and for a large body what is left of it once it is answered: a caller of HTTP/1 that is still writing when the
/// connection closes would see a reset connection instead of the answer.
fn lingering(request: Request<Incoming>) -> (Request<Body>, Option<Frames>) {
    let small = request.body().size_hint().upper().is_some_and(|upper| upper < SMALL);
    // HTTP/2 resets one stream, which loses nothing. A caller that waits for 100 has not begun to write.
    if small || request.version() == Version::HTTP_2 || request.headers().contains_key(header::EXPECT) {
        return (request.map(Body::new), None);
    }
    let (parts, body) = request.into_parts();
    let body = Arc::new(Mutex::new(body));
    let left = Arc::clone(&body);
    let read = Body::new(StreamBody::new(poll_fn(move |cx| Pin::new(&mut *body.lock()).poll_frame(cx))));
    let left = Box::pin(poll_fn(move |cx| Pin::new(&mut *left.lock()).poll_frame(cx)));
    (Request::from_parts(parts, read), Some(left))
}

async fn drain(mut left: Frames) {
    let mut read = 0;
    while let (Some(Ok(frame)), true) = (left.next().await, read < MOST) {
        read += frame.data_ref().map_or(0, Bytes::len);
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
