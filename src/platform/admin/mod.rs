//! The admin listener: metrics, health and the operator's switches, on a thread and a runtime of its own,
//! so that it answers when the service's own runtime is full.

pub mod config;
mod degradation;
mod exposition;
mod pages;
pub mod probe;

pub use config::AdminConfig;
use pages::Served;
pub use pages::{Pages, Render, SetFilter, Version};

use crate::platform::{
    http::{Limits, Listener, serve},
    task,
    tls::Tls,
};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    thread::JoinHandle,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Operators, probes and scrapers are few, and none is slow for long.
const LIMITS: Limits = Limits {
    header_timeout: Duration::from_secs(10),
    longest_step: Duration::from_secs(20),
    max_connections: 256,
};
/// How long answers in hand may take once the service has ended.
const LAST_ANSWERS: Duration = Duration::from_millis(250);

/// The admin listener can't be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve the admin listener on {address}: {source}")]
pub struct AdminError {
    address: SocketAddr,
    source: io::Error,
}

/// The admin listener at work. It ends with [`Self::stop`], or unawaited when this is dropped.
pub struct Admin {
    address: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Binds the listener and serves it from here on, in the clear without `tls`.
    ///
    /// # Errors
    /// If the address can't be bound, or there is no thread or runtime to be had.
    pub fn start(config: &AdminConfig, tls: Option<Tls>, pages: Pages) -> Result<Self, AdminError> {
        Self::try_start(config.listen, tls, pages)
            .map_err(|source| AdminError { address: config.listen, source })
    }

    fn try_start(address: SocketAddr, tls: Option<Tls>, pages: Pages) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        // One thread that renders is enough, and a slow page holds up no probe.
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = task::spawn_thread("admin", move || {
            runtime.block_on(run(listener, tls, pages.on(address.ip().is_loopback()), stopped));
            // A page that is still being rendered is nobody's any more.
            runtime.shutdown_background();
        })?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Where it listens: the port that was given for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening and waits for the answers in hand, a fraction of a second. Blocks the thread: it is
    /// the last thing that a process does.
    pub fn stop(mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // Its panic was logged by the panic hook; there is nothing else to be done about it here.
            let _ = thread.join();
        }
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn run(listener: TcpListener, tls: Option<Tls>, pages: Served, stop: CancellationToken) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(error_kind = ?error.kind(), "the admin listener cannot be served");
            return;
        }
    };
    let listener = Listener::new("admin", listener, tls);
    let mut serving = std::pin::pin!(serve(listener, pages, LIMITS, |_| false, stop.clone()));
    tokio::select! {
        () = serving.as_mut() => {}
        () = async { stop.cancelled().await; tokio::time::sleep(LAST_ANSWERS).await } => {}
    }
}
