//! One connection: its handshake, its first bytes and headers, the bounds of both protocols, and its end.

use super::{
    activity::HeldBody,
    serve::{Limits, Peer, Service},
    streams::Streams,
    timed_io::TimedIo,
};
use crate::platform::{
    telemetry::names,
    tls::{Handshake, Stream, Tls},
};
use http::Version;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use metrics::Counter;
use std::{convert::Infallible, error::Error, io, pin::pin, time::Duration};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// The most that a request's head may have, in bytes, on both protocols: what common servers take. It also
/// bounds what a connection may hold in memory before anybody has asked who it is.
const LARGEST_HEAD: usize = 32 * 1024;
/// Requests at once on a connection of HTTP/2, which RFC 9113 wants to be no fewer than 100.
const MOST_STREAMS: u32 = 100;
/// What the other end may send ahead of what is read: a body of the usual limit on each stream, and four of
/// them on the connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;
/// How long a connection of HTTP/2 may take to close once it has been told to and nothing is in hand.
const FAREWELL: Duration = Duration::from_secs(1);

/// What all connections of a listener share. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connections {
    limits: Limits,
    tls: Option<Tls>,
    timed_out: Counter,
    stop: CancellationToken,
}

impl Connections {
    pub fn new(limits: Limits, tls: Option<Tls>, stop: CancellationToken) -> Self {
        let timed_out = metrics::counter!(names::HTTP_CONNECTIONS_TIMED_OUT);
        Self { limits, tls, timed_out, stop }
    }

    /// Serves one connection to its end.
    pub async fn run(self, stream: TcpStream, service: impl Service, peer: Peer) {
        // Answers are small and complete: waiting for more of them to fill a packet only delays them. The
        // option can't be set on a connection that is already gone.
        let _ = stream.set_nodelay(true);
        // A token of its own: waiting on one that all share would have them queue for its lock.
        let stop = self.stop.child_token();
        let encrypted = tokio::select! {
            biased;
            stream = self.encrypt(stream) => stream,
            () = stop.cancelled() => None,
        };
        if let Some(stream) = encrypted {
            self.speak(stream, service, peer, stop).await;
        }
    }

    /// The stream that HTTP is spoken on; `None` if it did not come to that.
    async fn encrypt(&self, stream: TcpStream) -> Option<Stream> {
        let Some(tls) = &self.tls else { return Some(Stream::Plain(stream)) };
        match tls.accept(stream, self.limits.header_timeout).await {
            Handshake::Done(stream) => Some(Stream::Tls(stream)),
            Handshake::Failed => None,
            Handshake::TimedOut => {
                self.timed_out.increment(1);
                None
            }
        }
    }

    async fn speak(&self, stream: Stream, service: impl Service, peer: Peer, stop: CancellationToken) {
        let peer = Peer { encrypted: stream.is_encrypted(), ..peer };
        let (io, activity) = TimedIo::new(stream, self.limits.header_timeout);
        let of_requests = activity.clone();
        let answer = service_fn(move |request: http::Request<_>| {
            let service = service.clone();
            let held = (request.version() == Version::HTTP_2).then(|| of_requests.hold());
            async move {
                let Ok(response) = service.call(request, peer).await;
                Ok::<_, Infallible>(response.map(|body| HeldBody { body, _held: held }))
            }
        });
        let streams = Streams::new(self.limits.longest_step);
        let builder = builder(self.limits, streams.clone());
        let mut connection = pin!(builder.serve_connection(TokioIo::new(io), answer));
        let idles = tokio::select! {
            biased;
            ended = streams.run(connection.as_mut()) => return self.ended(ended, activity.is_busy()),
            () = stop.cancelled() => false,
            () = activity.idle(self.limits.header_timeout) => true,
        };
        connection.as_mut().graceful_shutdown();
        let patience = if idles { self.limits.header_timeout } else { FAREWELL };
        tokio::select! {
            biased;
            ended = streams.run(connection) => self.ended(ended, idles || activity.is_busy()),
            // It does not read that it is to close, or is in the middle of headers without end.
            () = activity.idle(patience) => self.timed_out.increment(idles.into()),
        }
    }

    /// Counts a connection that was closed because its first bytes or headers were slow, not because it idled.
    fn ended(&self, ended: Result<(), Box<dyn Error + Send + Sync>>, busy: bool) {
        let first_bytes = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
        let headers = |error: &hyper::Error| error.is_timeout();
        let is_timeout = |error: Box<dyn Error + Send + Sync>| {
            error.downcast_ref::<io::Error>().is_some_and(first_bytes)
                || error.downcast_ref::<hyper::Error>().is_some_and(headers)
        };
        if busy && ended.is_err_and(is_timeout) {
            self.timed_out.increment(1);
        }
    }
}

fn builder(limits: Limits, streams: Streams) -> Builder<Streams> {
    let mut builder = Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        // Of the head, of chunk lines, and of what waits to be written. The number of headers stays hyper's
        // own 100: setting it costs an allocation for each request.
        .max_buf_size(LARGEST_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(LARGEST_HEAD as u32)
        .max_frame_size(16 * 1024)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // Of answers that find no window, for each stream.
        .max_send_buf_size(64 * 1024)
        // Rapid reset (CVE-2023-44487): so many streams may be reset before anybody took them up, and so
        // many by us for the other end's faults; then the connection ends.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100)
        // A peer that is gone is found by its silence; one that only answers pings idles, see `Activity`.
        .keep_alive_interval(limits.header_timeout)
        .keep_alive_timeout(limits.header_timeout);
    builder
}
