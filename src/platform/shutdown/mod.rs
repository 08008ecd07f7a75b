//! The order of a shutdown: who asks for it, which phases there are, and what ends it at once. What is
//! drained in them is told by the composition root.

pub mod config;
mod signals;

pub use config::ShutdownConfig;
pub use signals::watch_signals;

use crate::platform::health::Health;
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// Why the service stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// SIGTERM or SIGINT: a clean stop, exit code 0.
    Asked,
    /// A part that the service can't do without ended: exit code 70.
    Failed { part: &'static str },
}

/// Why a shutdown was cut short: exit code 70.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CutShort {
    #[error("a second signal came")]
    SecondSignal,
    #[error("the drain deadline passed")]
    Deadline,
}

/// The shutdown's state, shared by everything that takes part. Cheap to clone.
#[derive(Clone, Default)]
pub struct Shutdown(Arc<State>);

#[derive(Default)]
struct State {
    cause: OnceLock<Cause>,
    begun: CancellationToken,
    stop: CancellationToken,
    at_once: CancellationToken,
}

impl Shutdown {
    /// Begins the shutdown; only the first cause counts.
    pub fn begin(&self, cause: Cause) {
        if self.0.cause.set(cause).is_ok() {
            match cause {
                Cause::Asked => tracing::info!("shutdown begins"),
                Cause::Failed { part } => tracing::error!(part, "shutdown begins: an essential part ended"),
            }
        }
        self.0.begun.cancel();
    }

    /// What began the shutdown, if anything has.
    pub fn cause(&self) -> Option<Cause> {
        self.0.cause.get().copied()
    }

    /// Cuts the shutdown short, as a second signal does.
    pub fn at_once(&self) {
        self.0.at_once.cancel();
    }

    /// Cancelled when listeners are to stop accepting and everything else to finish what it has in hand.
    pub fn stop(&self) -> CancellationToken {
        self.0.stop.clone()
    }

    /// Resolves when a shutdown has begun.
    pub async fn begun(&self) {
        self.0.begun.cancelled().await;
    }

    /// The whole sequence: waits for the begin, is not ready for a while, then cancels
    /// [`Self::stop`] and gives `drained` until the deadline after that.
    ///
    /// # Errors
    /// If a second signal comes in any phase after the begin, or the deadline passes.
    pub async fn sequence(
        &self,
        health: &Health,
        config: ShutdownConfig,
        drained: impl Future<Output = ()>,
    ) -> Result<(), CutShort> {
        self.begun().await;
        health.not_ready("shutting down");
        // A part that has failed will not become healthier by waiting for balancers to notice.
        if self.cause() == Some(Cause::Asked) {
            self.unless_at_once(tokio::time::sleep(config.not_ready_for)).await?;
        }
        self.0.stop.cancel();
        let drained = tokio::time::timeout(config.drain_deadline, drained);
        self.unless_at_once(drained).await?.map_err(|_| CutShort::Deadline)
    }

    async fn unless_at_once<T>(&self, future: impl Future<Output = T>) -> Result<T, CutShort> {
        tokio::select! {
            biased;
            () = self.0.at_once.cancelled() => Err(CutShort::SecondSignal),
            value = future => Ok(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::{pending, ready},
        time::Duration,
    };

    fn config(not_ready_for: u64, drain_deadline: u64) -> ShutdownConfig {
        ShutdownConfig {
            not_ready_for: Duration::from_millis(not_ready_for),
            drain_deadline: Duration::from_millis(drain_deadline),
        }
    }

    #[tokio::test]
    async fn the_service_is_not_ready_before_it_stops_listening() {
        let (shutdown, health) = (Shutdown::default(), Health::default());
        health.check("part").ok();
        let stop = shutdown.stop();
        let waiting = shutdown.sequence(&health, config(50, 5000), async {});
        tokio::pin!(waiting);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        assert!(health.readiness().ready);
        shutdown.begin(Cause::Asked);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        assert!(!health.readiness().ready);
        assert!(!stop.is_cancelled());
        assert_eq!(waiting.await, Ok(()));
        assert!(stop.is_cancelled());
    }

    #[tokio::test]
    async fn a_drain_past_its_deadline_and_a_second_signal_cut_it_short() {
        let shutdown = Shutdown::default();
        shutdown.begin(Cause::Asked);
        let health = Health::default();
        let late = shutdown.sequence(&health, config(0, 20), pending()).await;
        assert_eq!(late, Err(CutShort::Deadline));
        shutdown.at_once();
        assert_eq!(
            shutdown.sequence(&health, config(5000, 5000), ready(())).await,
            Err(CutShort::SecondSignal)
        );
    }

    #[test]
    fn the_first_cause_stays() {
        let shutdown = Shutdown::default();
        shutdown.begin(Cause::Failed { part: "committer" });
        shutdown.begin(Cause::Asked);
        assert_eq!(shutdown.cause(), Some(Cause::Failed { part: "committer" }));
    }
}
