//! SIGTERM and SIGINT: the first begins the shutdown, the second cuts it short. SIGHUP ends nothing; who
//! reads files again on it is told by [`crate::platform::watch`].

use super::{Cause, Shutdown};
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Installs the handlers now, so that no signal is missed from here on; the future serves them for ever.
///
/// # Errors
/// If the runtime can't install a handler.
pub fn watch_signals(shutdown: Shutdown) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        hangup: signal(SignalKind::hangup())?,
    };
    Ok(async move {
        signals.next().await;
        shutdown.begin(Cause::Asked);
        signals.next().await;
        shutdown.at_once();
        std::future::pending::<()>().await;
    })
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Resolves at the next one that asks for the end.
    async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    tracing::info!("SIGHUP: files of keys and certificates are read again, if there are any");
                }
            }
        }
    }
}
