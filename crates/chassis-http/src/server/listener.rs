//! Accepting connections: no more at once than are allowed, each with bounded patience for a caller that does not read.

use super::{Now, connection::Activity};
use crate::metrics as names;
use axum_server::{AddrListener, Address};
use chassis_telemetry::names::LABEL_LISTENER;
use metrics::{Counter, Gauge};
use parking_lot::Mutex;
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};

/// The other end of a connection, and what the connection is doing.
#[derive(Clone)]
pub(super) struct Peer {
    pub address: SocketAddr,
    pub activity: Arc<Activity>,
}

impl Address for Peer {
    type Stream = Stream;
    type Listener = Limited;
}

/// A listener that accepts only while there is room; more connections wait in the system's backlog.
#[derive(Debug)]
pub(super) struct Limited {
    name: &'static str,
    tcp: TcpListener,
    room: Arc<Semaphore>,
    patience: Duration,
    open: Gauge,
    full: Counter,
    timed_out: Counter,
    warned: Mutex<Option<Instant>>,
}

impl Limited {
    pub fn new(name: &'static str, tcp: TcpListener, most: usize, patience: Duration) -> Self {
        let open = metrics::gauge!(names::CONNECTIONS, LABEL_LISTENER => name);
        let full = metrics::counter!(names::CONNECTIONS_LIMIT_REACHED, LABEL_LISTENER => name);
        let timed_out = metrics::counter!(names::CONNECTIONS_TIMED_OUT);
        open.increment(0.0);
        [&full, &timed_out].into_iter().for_each(|counter| counter.increment(0));
        let room = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self { name, tcp, room, patience, open, full, timed_out, warned: Mutex::new(None) }
    }

    async fn permit(&self) -> io::Result<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            return Ok(permit);
        }
        self.full.increment(1);
        if self.warned.lock().replace_if_older(Duration::from_secs(1)) {
            tracing::warn!(listener = self.name, "as many connections are open as are allowed, more wait");
        }
        Arc::clone(&self.room).acquire_owned().await.map_err(io::Error::other)
    }
}

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
        self.open.increment(1.0);
        let activity = Arc::new(Activity::default());
        let stream = Stream {
            tcp,
            patience: self.patience,
            writing: None,
            activity: Arc::clone(&activity),
            open: self.open.clone(),
            timed_out: self.timed_out.clone(),
            _permit: permit,
        };
        Ok((stream, Peer { address, activity }))
    }

    fn get_local_addr(&self) -> io::Result<Peer> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A connection that waits for a bounded time for the other end to take more of an answer. When it is dropped, it counts
/// whether the other end was too slow.
pub(super) struct Stream {
    tcp: TcpStream,
    patience: Duration,
    /// Until when the other end may take more; `None` while it takes it.
    writing: Option<Pin<Box<Sleep>>>,
    activity: Arc<Activity>,
    open: Gauge,
    timed_out: Counter,
    _permit: OwnedSemaphorePermit,
}

impl Stream {
    fn wrote(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(_)) => {
                self.writing = None;
                self.activity.wrote();
            }
            Poll::Ready(Err(_)) => self.activity.ended(),
            Poll::Pending => {
                let patience = self.patience;
                let until = self.writing.get_or_insert_with(|| Box::pin(sleep(patience)));
                if until.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        written
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        match read {
            Poll::Ready(Ok(())) if buf.filled().len() > before => self.activity.read(),
            Poll::Ready(_) => self.activity.ended(),
            Poll::Pending => {}
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.wrote(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        self.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.open.decrement(1.0);
        if self.activity.is_slow(self.patience) {
            self.timed_out.increment(1);
        }
    }
}
