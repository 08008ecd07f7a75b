//! One channel over all healthy endpoints of a target: each call goes to the less loaded of two.

use super::{
    Target,
    balance::Chosen,
    connect::{ClientTls, Connector},
    discovery::{self, Found},
    error::ChannelError,
    flight, probe,
    roster::Roster,
};
use crate::platform::{task, telemetry::names};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{body::Body, transport};
use tower::Service;
use tracing::Span;

/// A call waits so long after the opening for the first endpoint to be found and to answer; later it waits
/// for none.
const FIRST: Duration = Duration::from_secs(1);

/// Takes the calls of generated clients. Cheap to clone; once the last one is dropped, so are the
/// connections and whatever follows the endpoints.
#[derive(Clone)]
pub struct Channel(Arc<Open>);

struct Open {
    roster: Arc<Roster>,
    opened: Instant,
    _followers: DropGuard,
}

/// Why a target can't be followed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("an endpoint can't be connected to: {0}")]
    Endpoint(#[from] transport::Error),
    #[error("{0}")]
    Discovery(#[from] discovery::Fault),
}

impl Channel {
    /// Over the endpoints of `target`, which it follows from here on; metrics and lines name them by `name`.
    /// Call it inside the runtime.
    ///
    /// # Errors
    /// The target can't be followed: an address is none, or the system's settings of DNS can't be read.
    pub fn open(name: &'static str, target: &Target) -> Result<Self, OpenError> {
        Self::open_with(name, target, None)
    }

    /// The same with TLS.
    ///
    /// # Errors
    /// As [`Self::open`], or the authorities can't be used.
    pub fn open_with(
        name: &'static str,
        target: &Target,
        tls: Option<&ClientTls>,
    ) -> Result<Self, OpenError> {
        let host = match target {
            Target::Dns { name, .. } => Some(name.trim_end_matches('.')),
            Target::Static(_) | Target::Etcd { .. } => None,
        };
        let connector = Connector::new(tls, host);
        // Tells faults of TLS now; addresses were checked when the target was read.
        connector.endpoint("localhost:1")?;
        let roster = Arc::new(Roster::new(name));
        let ended = CancellationToken::new();
        let found = discovery::start(name, target, ended.clone())?;
        task::spawn(follow(found, Arc::clone(&roster), connector, ended.clone()));
        Ok(Self(Arc::new(Open { roster, opened: Instant::now(), _followers: ended.drop_guard() })))
    }
}

/// Has the endpoints that are found probed, until the channel is dropped.
async fn follow(
    mut found: watch::Receiver<Found>,
    roster: Arc<Roster>,
    connector: Connector,
    ended: CancellationToken,
) {
    let following = async {
        loop {
            let addresses = found.borrow_and_update().clone();
            for watched in addresses.iter().flat_map(|addresses| roster.take_in(addresses)) {
                task::spawn(probe::follow(watched, Arc::clone(&roster), connector.clone()));
            }
            if found.changed().await.is_err() {
                // Nobody will find another: what is known stays.
                std::future::pending::<()>().await;
            }
        }
    };
    ended.run_until_cancelled(following).await;
    // Ends the probes.
    roster.take_in(&Default::default());
}

impl Open {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, ChannelError> {
        let chosen = self.choose().await.ok_or_else(ChannelError::no_endpoint)?;
        tell_span(&chosen.endpoint.address);
        flight::send(chosen, request, &self.roster).await
    }

    async fn choose(&self) -> Option<Chosen> {
        let chosen = self.roster.choose();
        if chosen.is_some() || self.roster.settled().is_cancelled() {
            return chosen;
        }
        let _ = timeout_at(self.opened + FIRST, self.roster.settled().cancelled()).await;
        self.roster.choose()
    }
}

/// Tells the span of the call, if it has room for it, which endpoint it went to.
fn tell_span(address: &str) {
    let span = Span::current();
    if let Some((host, port)) = address.rsplit_once(':') {
        span.record(names::SERVER_ADDRESS, host.trim_matches(['[', ']']));
        span.record(names::SERVER_PORT, port.parse::<u16>().ok());
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = ChannelError;
    type Future = BoxFuture<'static, Result<Response<Body>, ChannelError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ChannelError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let open = Arc::clone(&self.0);
        Box::pin(async move { open.send(request).await })
    }
}
