//! The accept loop: how many connections there are, and their common end. What happens on one of them
//! stands in `connection.rs`.

use super::{connection::Connections, listen::Listener, room::Room};
use crate::platform::task;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Who is at the other end of a connection. Handlers are told who calls instead, by
/// [`Caller`](crate::platform::admission::Caller).
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// Whether it is a proxy whose word is taken.
    pub trusted: bool,
    /// Whether the connection is encrypted; TLS that ended in front of us is not known here.
    pub encrypted: bool,
}

/// What a listener allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For the TLS handshake, for the first bytes, and for the headers of each request; also how long a
    /// connection may idle, and an answer may find nobody who takes it.
    pub header_timeout: Duration,
    /// For one step of a request of HTTP/2 and its answer: no less than a body, a handler or a write may take.
    pub longest_step: Duration,
    /// Open at once; more wait in the backlog. One address that is neither loopback nor a trusted proxy may
    /// have half of them.
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

/// Serves HTTP/1.1 and HTTP/2 (with prior knowledge, or by ALPN) until `stop`, then lets requests finish and
/// closes idle connections; returns when all are closed. `trusted` says which peers are trusted proxies.
pub async fn serve(
    listener: Listener,
    service: impl Service,
    limits: Limits,
    trusted: impl Fn(IpAddr) -> bool,
    stop: CancellationToken,
) {
    let Listener { name, tcp, tls } = listener;
    let connections = Connections::new(limits, tls, stop.clone());
    let mut room = Room::new(name, limits.max_connections);
    let open = TaskTracker::new();
    loop {
        let next = async {
            let permit = room.free().await;
            (permit, accept(&tcp).await)
        };
        let (permit, (stream, address)) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            next = next => next,
        };
        let peer = Peer { address, trusted: trusted(address.ip()), encrypted: false };
        let Some(place) = room.take(permit, address.ip(), peer.trusted) else { continue };
        let connection = connections.clone().run(stream, service.clone(), peer);
        task::spawn(open.track_future(async move {
            connection.await;
            drop(place);
        }));
    }
    // New connections are refused from here on, not left waiting in the backlog.
    drop(tcp);
    open.close();
    open.wait().await;
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
