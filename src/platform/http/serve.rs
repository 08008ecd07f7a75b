//! The accept loop and the connections: their number, their first bytes and headers, and their end.

use super::timed_io::{Busy, TimedIo};
use crate::platform::{task, telemetry::names};
use axum::response::Response;
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use metrics::Counter;
use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Who is at the other end; an extension of every request that reaches a handler.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// Whether it is a proxy whose word is taken.
    pub trusted: bool,
}

/// What a listener allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For the first bytes and for the headers of each request; also how long a connection may idle, and
    /// an answer may find nobody who takes it.
    pub header_timeout: Duration,
    /// Open at once; more wait in the backlog.
    pub max_connections: usize,
}

/// What answers requests.
pub trait Service: Clone + Send + Sync + 'static {
    /// Answers one request.
    fn call(
        &self,
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Result<Response, Infallible>> + Send;
}

/// Serves HTTP/1.1 and HTTP/2 (with prior knowledge) until `stop`, then lets requests finish and closes
/// idle connections; returns when all are closed. `trusted` says which peers are trusted proxies.
pub async fn serve(
    listener: TcpListener,
    service: impl Service,
    limits: Limits,
    trusted: impl Fn(IpAddr) -> bool,
    stop: CancellationToken,
) {
    let connections = Connections {
        builder: builder(limits.header_timeout),
        header_timeout: limits.header_timeout,
        timed_out: metrics::counter!(names::HTTP_CONNECTIONS_TIMED_OUT),
        stop,
    };
    let room = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
    let open = TaskTracker::new();
    while let Some((stream, address, permit)) = connections.next(&listener, &room).await {
        let peer = Peer { address, trusted: trusted(address.ip()) };
        let connection = connections.clone().run(stream, service.clone(), peer);
        task::spawn(open.track_future(async move {
            connection.await;
            drop(permit);
        }));
    }
    // New connections are refused from here on, not left waiting in the backlog.
    drop(listener);
    open.close();
    open.wait().await;
}

#[derive(Clone)]
struct Connections {
    builder: Builder<TokioExecutor>,
    header_timeout: Duration,
    timed_out: Counter,
    stop: CancellationToken,
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

impl Connections {
    /// The next connection that there is room for; `None` when the service stops.
    async fn next(&self, listener: &TcpListener, room: &Arc<Semaphore>) -> Option<Accepted> {
        let accepted = async {
            let permit = Arc::clone(room).acquire_owned().await.ok()?;
            let (stream, address) = accept(listener).await;
            Some((stream, address, permit))
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            accepted = accepted => accepted,
        }
    }

    /// Serves one connection to its end.
    async fn run(self, stream: TcpStream, service: impl Service, peer: Peer) {
        // Answers are small and complete: waiting for more of them to fill a packet only delays them. The
        // option can't be set on a connection that is already gone.
        let _ = stream.set_nodelay(true);
        let (io, busy) = TimedIo::new(stream, self.header_timeout);
        let answer = service_fn(move |request| {
            let service = service.clone();
            async move { service.call(request, peer).await }
        });
        // A token of its own: waiting on one that all share would have them queue for its lock.
        let stop = self.stop.child_token();
        let mut connection = pin!(self.builder.serve_connection(TokioIo::new(io), answer));
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended
            && is_timeout(&*error, &busy)
        {
            self.timed_out.increment(1);
        }
    }
}

fn builder(header_timeout: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        // HTTP/2 has no time-out for headers: a peer that is gone is found by its silence.
        .keep_alive_interval(header_timeout)
        .keep_alive_timeout(header_timeout);
    builder
}

/// Accepts a connection, whatever it takes: an error here is the system's (out of files, of memory) or the
/// other end's, and never ends the service.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    const LONGEST_PAUSE: Duration = Duration::from_secs(1);
    let mut pause = Duration::from_millis(5);
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if of_the_other_end(&error) => {}
            Err(error) => {
                if pause == LONGEST_PAUSE {
                    // Once a second at most, however many are refused.
                    tracing::warn!(error_kind = ?error.kind(), os_error = error.raw_os_error(), "cannot accept");
                }
                sleep(pause).await;
                pause = (pause * 4).min(LONGEST_PAUSE);
            }
        }
    }
}

fn of_the_other_end(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Whether the connection was closed because its first bytes or headers were slow, not because it idled.
fn is_timeout(error: &(dyn std::error::Error + Send + Sync + 'static), busy: &Busy) -> bool {
    let first_bytes = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
    let headers = |error: &hyper::Error| error.is_timeout();
    busy.get()
        && (error.downcast_ref::<io::Error>().is_some_and(first_bytes)
            || error.downcast_ref::<hyper::Error>().is_some_and(headers))
}
