//! The order of a shutdown: its causes, its phases, and what cuts it short.

use crate::Health;
use chassis_telemetry::settings::{between, duration};
use conf::Conf;
use std::sync::{Arc, OnceLock};
use std::{io, pin::pin, time::Duration};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// The section `[shutdown]`.
#[derive(Conf, Clone, Debug)]
pub struct ShutdownConfig {
    /// How long the service reports that it is not ready before its listeners close, so that balancers notice.
    #[arg(env, default_value = "0s", value_parser = between("0s", "10m", duration))]
    pub not_ready_for: Duration,
    /// How long requests and jobs in flight may then take to finish.
    #[arg(env, default_value = "20s", value_parser = between("100ms", "1h", duration))]
    pub drain_deadline: Duration,
}

impl ShutdownConfig {
    /// Waits for what serves, then for `work`. Callers that do not let go of their connections leave `work` half of the deadline.
    pub async fn drain(&self, listeners: impl Future, work: impl Future) {
        let mut listeners = pin!(listeners);
        let in_time = timeout(self.drain_deadline / 2, &mut listeners).await;
        work.await;
        if in_time.is_err() {
            listeners.await;
        }
    }
}

/// Why the service stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// SIGTERM or SIGINT: a clean stop.
    Signal,
    /// A part that the service needs ended: exit code 70.
    Failed { part: &'static str },
}

/// Why a shutdown failed: exit code 70.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShutdownError {
    #[error("a second signal came")]
    SecondSignal,
    #[error("the drain deadline passed")]
    Deadline,
    #[error("{part} ended")]
    Failed { part: &'static str },
}

/// The state of the shutdown, shared by all parts. Cheap to clone.
#[derive(Clone, Default)]
pub struct Shutdown(Arc<State>);

#[derive(Default)]
struct State {
    cause: OnceLock<Cause>,
    begun: CancellationToken,
    stop: CancellationToken,
}

impl Shutdown {
    /// Begins the shutdown. The first cause stays.
    pub fn begin(&self, cause: Cause) {
        if self.0.cause.set(cause).is_ok() {
            match cause {
                Cause::Signal => tracing::info!("shutdown begins"),
                Cause::Failed { part } => tracing::error!(part, "shutdown begins: an essential part ended"),
            }
        }
        self.0.begun.cancel();
    }

    /// What began the shutdown, if it has begun.
    pub fn cause(&self) -> Option<Cause> {
        self.0.cause.get().copied()
    }

    /// Cancelled when listeners stop accepting and every part finishes what it has in hand.
    pub fn stop(&self) -> CancellationToken {
        self.0.stop.clone()
    }

    /// Resolves when a shutdown has begun.
    pub async fn begun(&self) {
        self.0.begun.cancelled().await;
    }

    /// The whole sequence: waits for the begin, reports not ready for [`ShutdownConfig::not_ready_for`], cancels
    /// [`Self::stop`], and gives `drained` until the deadline.
    ///
    /// # Errors
    /// An essential part had failed, or the deadline passed.
    pub async fn sequence(
        &self,
        health: &Health,
        config: &ShutdownConfig,
        drained: impl Future<Output = ()>,
    ) -> Result<(), ShutdownError> {
        self.begun().await;
        health.not_ready("shutting down");
        // Waiting for balancers does not heal a part that failed.
        if self.cause() == Some(Cause::Signal) {
            sleep(config.not_ready_for).await;
        }
        self.0.stop.cancel();
        timeout(config.drain_deadline, drained).await.map_err(|_| ShutdownError::Deadline)?;
        match self.cause() {
            Some(Cause::Failed { part }) => Err(ShutdownError::Failed { part }),
            _ => Ok(()),
        }
    }

    /// Installs the handlers of SIGTERM and SIGINT at once. The first signal begins the shutdown, and the returned
    /// future resolves at the second.
    ///
    /// # Errors
    /// The runtime cannot install a handler.
    pub(crate) fn watch_signals(&self) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // Installed for good: SIGHUP ends nothing, and what reads files again on it has its own.
        drop(signal(SignalKind::hangup())?);
        let shutdown = self.clone();
        Ok(async move {
            for _ in 0..2 {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                shutdown.begin(Cause::Signal);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::Either;
    use std::cell::Cell;
    use std::future::{pending, ready};

    fn config(not_ready_for: u64, drain_deadline: u64) -> ShutdownConfig {
        ShutdownConfig {
            not_ready_for: Duration::from_millis(not_ready_for),
            drain_deadline: Duration::from_millis(drain_deadline),
        }
    }

    #[tokio::test]
    async fn the_service_is_not_ready_before_it_stops_listening() {
        let (shutdown, health, config) = (Shutdown::default(), Health::default(), config(50, 5000));
        health.check("part").ok();
        let stop = shutdown.stop();
        let mut sequence = pin!(shutdown.sequence(&health, &config, async {}));
        assert!(futures_util::poll!(sequence.as_mut()).is_pending());
        assert!(health.readiness().ready);
        shutdown.begin(Cause::Signal);
        assert!(futures_util::poll!(sequence.as_mut()).is_pending());
        assert!(!health.readiness().ready);
        assert!(!stop.is_cancelled());
        assert_eq!(sequence.await, Ok(()));
        assert!(stop.is_cancelled());
    }

    #[tokio::test]
    async fn a_drain_past_the_deadline_is_cut_short() {
        let (shutdown, health) = (Shutdown::default(), Health::default());
        shutdown.begin(Cause::Signal);
        let late = shutdown.sequence(&health, &config(0, 20), pending()).await;
        assert_eq!(late, Err(ShutdownError::Deadline));
    }

    #[tokio::test]
    async fn work_follows_what_serves_and_waits_for_half_of_the_deadline_at_most() {
        let served = Cell::new(false);
        let (serving, work) =
            (async { served.set(true) }, async { assert!(served.get(), "work came first") });
        config(0, 60_000).drain(serving, work).await;
        let (done, worked) = tokio::sync::oneshot::channel();
        let deadline = config(0, 20);
        let hanging = pin!(deadline.drain(pending::<()>(), async { done.send(()) }));
        let cut = futures_util::future::select(hanging, worked).await;
        assert!(
            matches!(cut, Either::Right((Ok(()), _))),
            "the work was not done, or the listeners were left"
        );
    }

    #[tokio::test]
    async fn the_first_cause_stays_and_a_failed_part_is_an_error_even_after_a_clean_drain() {
        let (shutdown, health) = (Shutdown::default(), Health::default());
        shutdown.begin(Cause::Failed { part: "committer" });
        shutdown.begin(Cause::Signal);
        let ended = shutdown.sequence(&health, &config(60_000, 5000), ready(())).await;
        assert_eq!(ended, Err(ShutdownError::Failed { part: "committer" }));
    }
}
