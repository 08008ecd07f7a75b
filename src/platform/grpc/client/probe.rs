//! Asking an endpoint how it is, again and again, over the connection that calls use; one that does not
//! answer gets a new connection. What follows from the answer is the roster's matter.

use super::{
    connect::Connector,
    roster::{Roster, Watched},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status, transport};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// Between two probes, drawn anew each time, so that many clients do not ask together.
const INTERVAL: std::ops::Range<Duration> = Duration::from_millis(200)..Duration::from_millis(300);
/// For one probe with its connection. A dead endpoint is out after this and an interval: within 1 s.
const TIMEOUT: Duration = Duration::from_millis(500);
/// However many calls fail, there is so much time between two probes.
const PAUSE: Duration = Duration::from_millis(20);

/// Probes an endpoint until it is gone.
pub(super) async fn follow(watched: Watched, roster: Arc<Roster>, connector: Connector) {
    let probing = async {
        loop {
            probe(&watched, &roster, &connector).await;
            sleep(PAUSE).await;
            let _ = timeout(rand::random_range(INTERVAL), watched.probe_now.notified()).await;
        }
    };
    watched.ended.run_until_cancelled(probing).await;
}

/// One probe, with a line if it changed anything.
async fn probe(watched: &Watched, roster: &Roster, connector: &Connector) {
    let began = Instant::now();
    let known = roster.healthy(&watched.address);
    let asked = async {
        let channel = match &known {
            Some(endpoint) => endpoint.channel.clone(),
            None => connector.connect(&watched.address).await.map_err(|_| "no connection")?,
        };
        check(channel.clone()).await.map(|()| channel)
    };
    match timeout(TIMEOUT, asked).await {
        Ok(Ok(channel)) => roster.is_up(&watched.address, channel),
        Ok(Err(reason)) => roster.is_down(&watched.address, reason),
        // Slow to say so, but well: it answers calls.
        Err(_) if known.is_some_and(|endpoint| endpoint.load.has_answered_since(began)) => {}
        Err(_) => roster.is_down(&watched.address, "no answer in time"),
    }
}

/// Asks for the health of the server as a whole. Whoever does not know the question, or does not answer it
/// to us, is there all the same.
async fn check(channel: transport::Channel) -> Result<(), &'static str> {
    let mut client = HealthClient::new(channel);
    let answer = client.check(HealthCheckRequest { service: String::new() }).await;
    match answer.map(|answer| answer.into_inner().status()) {
        Ok(ServingStatus::Serving) => Ok(()),
        Ok(_) => Err("not serving"),
        Err(status) if is_there(&status) => Ok(()),
        Err(_) => Err("no answer"),
    }
}

fn is_there(status: &Status) -> bool {
    use Code::{PermissionDenied, ResourceExhausted, Unauthenticated, Unimplemented};
    matches!(status.code(), Unimplemented | Unauthenticated | PermissionDenied | ResourceExhausted)
}
