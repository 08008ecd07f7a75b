//! gRPC on the same layers: `identify`, `require`, the rate limit and `host_check` answer a gRPC call with a status, and
//! every [`Problem`] is a [`Status`] too. Here is what only gRPC has: deadlines, one message for a unary
//! call, and streams that end with the listeners.

mod unary;

use crate::{Decide, Gate, Problem, auth::any_key, layers::OnPanic, problem::is_grpc};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use http::{HeaderValue, Method, StatusCode, Version, header};
use http_body_util::{BodyStream, StreamBody};
use std::convert::Infallible;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, service::Routes};
use tonic_health::ServingStatus;
use tonic_health::pb::health_check_response::ServingStatus as Told;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService};
use tower::util::MapRequestLayer;
use tower_http::catch_panic::CatchPanicLayer;

pub use unary::{Deadline, unary};

/// The encoded descriptors of health and reflection, for telemetry's `Methods`.
pub const DESCRIPTORS: &[&[u8]] = &[
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
];

/// Answers a panic with INTERNAL. The panic hook has written its line, inside the request's span.
pub fn catch_panic() -> CatchPanicLayer<OnPanic> {
    CatchPanicLayer::custom(|_| Status::from(Problem::internal()).into_http())
}

/// Answers what is no gRPC call in the terms of HTTP: 505 for HTTP/1, 405 for a method other than POST, 415 for another
/// content type.
pub fn only() -> Gate<impl Decide> {
    Gate(|request: &mut Request| {
        let wrong = [
            (request.version() != Version::HTTP_2, StatusCode::HTTP_VERSION_NOT_SUPPORTED),
            (request.method() != Method::POST, StatusCode::METHOD_NOT_ALLOWED),
            (!is_grpc(request.headers()), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ];
        let Some((_, status)) = wrong.into_iter().find(|(wrong, _)| *wrong) else { return Ok(()) };
        let mut refusal = (status, "This port speaks gRPC over HTTP/2 only.\n").into_response();
        if status == StatusCode::METHOD_NOT_ALLOWED {
            refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        Err(Box::new(refusal))
    })
}

/// A router of these services, whose fallback is UNIMPLEMENTED, or UNAUTHENTICATED to callers that show no known key.
/// Put [`unary()`] and [`require`](crate::require) on its methods first.
pub fn router(services: Routes) -> Router {
    let known = tower::ServiceBuilder::new().layer(any_key());
    let unimplemented = tower::service_fn(async |_: Request| {
        Ok::<Response, Infallible>(Status::unimplemented("no such method is served here").into_http())
    });
    services.into_axum_router().reset_fallback().fallback_service(known.service(unimplemented))
}

/// `grpc.health.v1.Health` of these services and of the whole (the empty name), as `ready` says; those who watch are let
/// go at `stop`. It is for everybody: merge it outside of identification and limits. Spawn the future, which passes
/// changes on.
pub fn health(
    mut ready: watch::Receiver<bool>,
    services: &[&'static str],
    stop: CancellationToken,
) -> (Router, impl Future<Output = ()> + Send + use<>) {
    let mut reporter = HealthReporter::new();
    let known = HealthService::from_health_reporter(reporter.clone());
    let service = HealthServer::new(Watched { known, stop: stop.clone() });
    let names: Vec<&'static str> = services.iter().copied().chain([""]).collect();
    // Told before anybody can ask; the reporter's lock is free.
    let _ = tell(&reporter, &names, *ready.borrow_and_update()).now_or_never();
    let passed_on = async move {
        loop {
            tokio::select! {
                biased;
                // Before the end: who watches learns of the last change too.
                Ok(()) = ready.changed() => {}
                () = stop.cancelled() => break,
            }
            let now = *ready.borrow_and_update();
            tell(&reporter, &names, now).await;
        }
        for name in &names {
            // Ends the streams.
            reporter.clear_service_status(name).await;
        }
    };
    (Routes::new(service).into_axum_router().reset_fallback(), passed_on)
}

/// Answers a `Watch` of an unknown service with SERVICE_UNKNOWN and keeps the stream open, as the protocol asks. tonic's
/// own service answers NOT_FOUND, and its caller would ask again at once.
struct Watched {
    known: HealthService,
    stop: CancellationToken,
}

#[tonic::async_trait]
impl Health for Watched {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        self.known.check(request).await
    }

    async fn watch(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        match self.known.watch(request).await {
            Err(status) if status.code() == Code::NotFound => {
                let unknown = HealthCheckResponse { status: Told::ServiceUnknown.into() };
                let told = stream::iter([Ok(unknown)]).chain(stream::pending());
                let ended = self.stop.clone().cancelled_owned();
                Ok(tonic::Response::new(told.take_until(ended).boxed()))
            }
            watched => watched.map(|watched| watched.map(StreamExt::boxed)),
        }
    }
}

async fn tell(reporter: &HealthReporter, names: &[&str], ready: bool) {
    let serving = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    for name in names {
        reporter.set_service_status(name, serving).await;
    }
}

/// `grpc.reflection`, v1 and v1alpha, of these encoded file descriptor sets, for every known key. Its streams end at
/// `stop`: the questions end there, and the answers with them.
///
/// # Errors
/// A descriptor can't be read.
pub fn reflection(
    descriptors: &[&'static [u8]],
    stop: CancellationToken,
) -> Result<Router, tonic_reflection::server::Error> {
    let builder = || {
        let sets = descriptors.iter().copied().chain([tonic_health::pb::FILE_DESCRIPTOR_SET]);
        sets.fold(tonic_reflection::server::Builder::configure(), |builder, set| {
            builder.register_encoded_file_descriptor_set(set)
        })
    };
    let services = Routes::new(builder().build_v1()?).add_service(builder().build_v1alpha()?);
    let ending = MapRequestLayer::new(move |request: Request| {
        let stop = stop.clone().cancelled_owned();
        request.map(|body| Body::new(StreamBody::new(BodyStream::new(body).take_until(stop))))
    });
    Ok(services.into_axum_router().reset_fallback().route_layer(ending).route_layer(any_key()))
}
