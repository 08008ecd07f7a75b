//! SIGTERM and SIGINT: the first begins the shutdown, the second cuts it short.

use super::{Cause, Shutdown};
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Installs the handlers now, so that no signal is missed from here on; the future serves them for ever.
///
/// # Errors
/// If the runtime can't install a handler.
pub fn watch_signals(shutdown: Shutdown) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        either(&mut terminate, &mut interrupt).await;
        shutdown.begin(Cause::Asked);
        either(&mut terminate, &mut interrupt).await;
        shutdown.at_once();
        std::future::pending::<()>().await;
    })
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
