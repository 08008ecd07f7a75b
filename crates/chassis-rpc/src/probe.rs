//! Follows the endpoints that discovery finds, and probes each over the connection that calls use.

use crate::{
    Address,
    endpoints::{Endpoint, Endpoints},
    outcome::is_connect_error,
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use rand::Rng;
use std::{collections::BTreeSet, error::Error, future::pending, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tonic::{Code, Status, transport};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// Between two probes; drawn anew each time, so that many clients do not probe together.
const INTERVAL: std::ops::Range<Duration> = Duration::from_millis(200)..Duration::from_millis(300);
/// For one probe with its connection: traffic leaves a dead endpoint after this and an interval, within 1 s.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Between two probes, however many calls fail.
const PAUSE: Duration = Duration::from_millis(20);

/// Probes all endpoints that are found, for ever. `found` is `None` until the first look-up has succeeded.
pub(crate) async fn follow(endpoints: Arc<Endpoints>, mut found: watch::Receiver<Option<BTreeSet<Address>>>) {
    let mut probes = FuturesUnordered::new();
    loop {
        let new = found.borrow_and_update().as_ref().map(|found| endpoints.update(found));
        probes.extend(new.into_iter().flatten().map(|endpoint| probe_until_gone(&endpoints, endpoint)));
        let changed = async {
            if found.changed().await.is_err() {
                // Discovery has ended, as that of a static list does.
                pending::<()>().await;
            }
        };
        tokio::pin!(changed);
        loop {
            tokio::select! {
                () = &mut changed => break,
                Some(()) = probes.next() => {}
            }
        }
    }
}

async fn probe_until_gone(endpoints: &Endpoints, endpoint: Arc<Endpoint>) {
    let probing = async {
        loop {
            probe(endpoints, &endpoint).await;
            sleep(PAUSE).await;
            let interval = rand::rng().random_range(INTERVAL);
            let _ = timeout(interval, endpoint.probe_now.notified()).await;
        }
    };
    endpoint.gone.run_until_cancelled(probing).await;
}

async fn probe(endpoints: &Endpoints, endpoint: &Endpoint) {
    let started = Instant::now();
    let connection = endpoint.connection();
    match timeout(TIMEOUT, check(connection.channel)).await {
        Ok(Ok(())) => endpoints.up(endpoint),
        Ok(Err(reason)) => endpoints.down(endpoint, reason),
        // The health service is slow, but calls are answered.
        Err(_) if connection.load.has_answered_since(started) => {}
        Err(_) => {
            endpoints.down(endpoint, "no answer in time");
            endpoints.reconnect(endpoint);
        }
    }
}

/// Asks for the health of the server as a whole. A server that does not know the question, or does not answer it
/// to us, is there all the same.
async fn check(channel: transport::Channel) -> Result<(), &'static str> {
    let mut client = HealthClient::new(channel);
    let mut answer = client.check(HealthCheckRequest::default()).await;
    // A connection that the server closed in good order (GOAWAY), or that broke: draining is not dead, so the
    // same question goes over a new one.
    if answer.as_ref().is_err_and(|status| status.source().is_some() && !is_connect_error(status)) {
        answer = client.check(HealthCheckRequest::default()).await;
    }
    match answer.map(|answer| answer.into_inner().status()) {
        Ok(ServingStatus::Serving) => Ok(()),
        Ok(_) => Err("not serving"),
        Err(status) if is_there(&status) => Ok(()),
        Err(status) if is_connect_error(&status) => Err("no connection"),
        Err(_) => Err("no answer"),
    }
}

fn is_there(status: &Status) -> bool {
    use Code::{PermissionDenied, ResourceExhausted, Unauthenticated, Unimplemented};
    matches!(status.code(), Unimplemented | Unauthenticated | PermissionDenied | ResourceExhausted)
}
