//! Telling clients that a server is there, for as long as it is. What they make of it stands in
//! `client::discovery`.

pub mod config;
#[cfg(feature = "etcd")]
mod lease;

pub use config::RegisterConfig;

use crate::platform::shutdown::Shutdown;
use std::net::SocketAddr;
use tokio::task::JoinHandle;

/// A server's registration. Without one that is configured it does nothing.
#[derive(Default)]
pub struct Registration(Option<JoinHandle<()>>);

impl Registration {
    /// Registers the server whose listener is at `bound`, and goes on until a shutdown begins.
    #[cfg(feature = "etcd")]
    pub fn start(config: Option<&RegisterConfig>, bound: SocketAddr, shutdown: &Shutdown) -> Self {
        let Some(config) = config else { return Self::default() };
        let advertised = config.advertise.clone().unwrap_or_else(|| bound.to_string());
        let lease = lease::Lease::new(config, advertised);
        let shutdown = shutdown.clone();
        Self(Some(crate::platform::task::spawn(async move { lease.hold_until(shutdown.begun()).await })))
    }

    /// Without the feature none can be configured.
    #[cfg(not(feature = "etcd"))]
    pub fn start(_: Option<&RegisterConfig>, _: SocketAddr, _: &Shutdown) -> Self {
        Self::default()
    }

    /// Resolves once a shutdown has begun and the registration is withdrawn, or could not be within its
    /// time-out: what is withdrawn is called by nobody new, so that the listener may close.
    pub async fn withdrawn(self) {
        if let Some(held) = self.0 {
            // A panic was logged by the panic hook, and the lease runs out.
            let _ = held.await;
        }
    }
}
