//! `grpc.health.v1.Health`: the service's readiness, asked or watched
//! (<https://grpc.io/docs/guides/health-checking/>). What readiness is made of is `platform/health.rs`.

use super::services::LARGEST_MESSAGE;
use crate::platform::health::Health;
use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    FILE_DESCRIPTOR_SET, HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_server,
};

pub(super) const SERVICE: &str = "grpc.health.v1.Health";
pub(super) const DESCRIPTOR: &[u8] = FILE_DESCRIPTOR_SET;

/// Every service has the readiness of the whole.
struct Probe {
    ready: watch::Receiver<bool>,
    services: Vec<&'static str>,
    stop: CancellationToken,
}

/// Tells of these services, and of the whole under the empty name.
pub(super) fn service(
    health: &Health,
    services: Vec<&'static str>,
    stop: CancellationToken,
) -> health_server::HealthServer<impl health_server::Health> {
    let probe = Probe { ready: health.watch(), services, stop };
    health_server::HealthServer::new(probe).max_decoding_message_size(LARGEST_MESSAGE)
}

impl Probe {
    fn knows(&self, name: &str) -> bool {
        name.is_empty() || self.services.contains(&name)
    }
}

#[tonic::async_trait]
impl health_server::Health for Probe {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.knows(&request.get_ref().service) {
            return Err(Status::not_found("no such service is served here"));
        }
        Ok(Response::new(told(serving(*self.ready.borrow()))))
    }

    /// Tells of the present and of every change; ends with the listener, not before: a caller that is told of
    /// an end would ask again at once.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let stop = self.stop.clone();
        if !self.knows(&request.get_ref().service) {
            let first = stream::once(async { Ok(told(ServingStatus::ServiceUnknown)) });
            return Ok(Response::new(first.chain(stream::pending()).take_until(ended(stop)).boxed()));
        }
        let mut ready = self.ready.clone();
        ready.mark_changed();
        let changes = stream::unfold((ready, stop), async |(mut ready, stop)| {
            tokio::select! {
                biased;
                // Before the end: whoever watches learns of it in time.
                changed = ready.changed() => changed.ok()?,
                () = stop.cancelled() => return None,
            }
            let status = serving(*ready.borrow_and_update());
            Some((Ok(told(status)), (ready, stop)))
        });
        Ok(Response::new(changes.boxed()))
    }
}

async fn ended(stop: CancellationToken) {
    stop.cancelled().await;
}

fn serving(ready: bool) -> ServingStatus {
    if ready { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn told(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
