//! A listener for HTTP/1.1, HTTP/2 and gRPC on one port, on axum-server, with bounds on what a connection may hold:
//! time for the TLS handshake, the first bytes, headers and idling; connections open at once; and a graceful stop.

mod connection;

use crate::{ServerConfig, TlsConfig, TlsFault, metrics as names, tls::Tls};
use axum::Router;
use axum_server::{Handle, Server, tls_rustls::RustlsAcceptor};
use connection::{Connection, Limited, Peer};
use futures_util::future::Either;
use hyper_util::{rt::TokioExecutor, server::conn::auto::Builder};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::convert::Infallible;
use std::future::{pending, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, atomic::AtomicBool};
use std::time::Duration;
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

/// The most that a request's head may have, in bytes: what common servers take.
const LARGEST_HEAD: usize = 32 * 1024;

/// A bound port, and the TLS that is spoken on it.
pub struct Listener {
    name: &'static str,
    tcp: TcpListener,
    tls: Option<Tls>,
}

impl Listener {
    /// Where it listens: for port 0 the port that was given.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// A listener that can't be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("cannot listen on {address}: {source}")]
    Address { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsFault),
}

/// Binds a port; connections wait in its backlog until it is served. `name` is its label in metrics and log lines.
///
/// # Errors
/// The address is taken, not ours, or not allowed, or the TLS files can't be served.
pub async fn bind(name: &'static str, address: SocketAddr, tls: &TlsConfig) -> Result<Listener, BindError> {
    let tls = Tls::open(name, tls)?;
    metrics::gauge!(names::CONNECTIONS, "listener" => name).increment(0.0);
    metrics::counter!(names::CONNECTIONS_LIMIT_REACHED, "listener" => name).increment(0);
    let tcp = TcpListener::bind(address).await.map_err(|source| BindError::Address { address, source })?;
    Ok(Listener { name, tcp, tls })
}

/// Serves `router` until `stop`, then closes idle connections and lets requests finish; returns when the last connection
/// is closed. Certificates are reloaded meanwhile. Requests have `ConnectInfo<SocketAddr>`, and
/// over TLS telemetry's `Encrypted`.
pub fn serve(
    listener: Listener,
    router: Router,
    config: &ServerConfig,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    let Listener { name, tcp, tls } = listener;
    let (header_timeout, max_connections) = (config.header_timeout, config.max_connections);
    async move {
        let handle = Handle::new();
        let room = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
        let limited = Limited { name, tcp, room, patience: header_timeout, full: AtomicBool::new(false) };
        let mut server = Server::<Peer>::from_listener(limited)
            .handle(handle.clone())
            .first_request_timeout(header_timeout)
            .accept_error_handler(report(name));
        bound(server.http_builder(), header_timeout);
        // Routes are made once here, not on each request.
        let (router, encrypted) = (router.with_state(()).into_service(), tls.is_some());
        let connect = tower::service_fn(move |peer| {
            ready(Ok::<_, Infallible>(Connection { router: router.clone(), peer, encrypted }))
        });
        let served = match &tls {
            None => Either::Left(server.serve(connect)),
            Some(tls) => {
                let acceptor = RustlsAcceptor::new(tls.served.clone()).handshake_timeout(header_timeout);
                Either::Right(server.acceptor(acceptor).serve(connect))
            }
        };
        let reloads = async {
            match tls {
                Some(tls) => tls.follow().await,
                None => pending().await,
            }
        };
        let stopping = async {
            stop.cancelled().await;
            handle.graceful_shutdown(None);
            pending().await
        };
        tokio::select! {
            // A bound listener has no error that it ends with.
            _ = served => {}
            error = reloads => tracing::error!(listener = name, %error, "certificates are not reloaded"),
            () = stopping => {}
        }
    }
}

fn bound(builder: &mut Builder<TokioExecutor>, header_timeout: Duration) {
    builder
        .http1()
        // Also the time that a connection may idle between two requests.
        .header_read_timeout(header_timeout)
        // The head, chunk lines, and what waits to be written. The number of headers stays hyper's own 100.
        .max_buf_size(LARGEST_HEAD);
    builder
        .http2()
        // RFC 9113 wants no fewer.
        .max_concurrent_streams(100)
        .max_header_list_size(LARGEST_HEAD as u32)
        // What the other end may send before it is read: a usual body on each stream, four of them on the connection.
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(256 * 1024)
        // Answers that find no window, for each stream.
        .max_send_buf_size(64 * 1024)
        // Rapid reset (CVE-2023-44487): so many streams may be reset before they were taken up, and so many by us for
        // the other end's faults; then the connection ends.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100)
        // Finds a peer that is gone by its silence.
        .keep_alive_interval(header_timeout)
        .keep_alive_timeout(header_timeout);
}

/// Counts failed handshakes, and warns of accepts that fail (out of files, of memory); axum-server pauses after each.
fn report(name: &'static str) -> impl Fn(Option<&Peer>, &io::Error) + Send + Sync + 'static {
    let failed = crate::tls::failed(name);
    move |peer, error| {
        if peer.is_none() {
            let (error_kind, os_error) = (error.kind(), error.raw_os_error());
            tracing::warn!(listener = name, ?error_kind, os_error, "cannot accept");
        } else if error.get_ref().is_some_and(|cause| cause.downcast_ref::<rustls::Error>().is_some()) {
            // A connection that just goes away, as a balancer's probe, has not failed; time-outs are counted elsewhere.
            failed.increment(1);
        }
    }
}

/// Raises the soft limit on open files to the hard one. The usual soft limit of 1,024 is there for programs that use
/// `select`; connections need more.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Up to the hard limit everybody may.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
