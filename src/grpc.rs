//! The gRPC API: every method with the scope that it needs, and the layers around them.

use crate::{
    config::Config,
    error::ApiError,
    proto::epro::{DESCRIPTOR, epro_service_server::EproServiceServer},
    reports::{READS, Reports},
};
use axum::{Router, response::Response, routing::post_service};
use chassis::{Failure, Health, Shutdown, Tasks};
use chassis_http::{Keys, Limits, Scope, grpc, host_check, identify, require};
use chassis_resilience::Shed;
use chassis_telemetry::grpc::{Methods, metrics_layer, trace_layer};
use std::sync::Arc;
use tonic::Status;
use tower::ServiceBuilder;

const SERVICE: &str = "epro.v1.EproService";

/// The services under the layers that every call passes, the first of which is the outermost. Health is open to everybody.
///
/// # Errors
/// The descriptors, made by the build, can't be read.
pub fn router(
    reports: &Reports,
    config: &Config,
    keys: &Keys,
    limits: &Limits,
    health: &Health,
    shutdown: &Shutdown,
    tasks: &Tasks,
) -> Result<Router, Failure> {
    let degradation = reports.degradation();
    let service = EproServiceServer::new(reports.clone());
    // One `layer` for all of a route's: each call of it is one more boxed service that a request passes.
    let unary = || grpc::unary(&config.grpc_server());
    let latest = (require(Scope::Read), degradation.shed_layer(READS, degraded), unary());
    let submit = (require(Scope::Send), unary(), degradation.latency_layer());
    let services = Router::new()
        .route("/epro.v1.EproService/GetLatestReport", post_service(service.clone()).layer(latest))
        .route("/epro.v1.EproService/SubmitReport", post_service(service).layer(submit));

    let (open, follow_health) = grpc::health(health.watch(), &[SERVICE], shutdown.stop());
    tasks.spawn("grpc-health", follow_health);
    let methods = Methods::from_descriptors([DESCRIPTOR].iter().chain(grpc::DESCRIPTORS).copied());
    let proxies = Arc::new(config.limits.clone());
    let around = ServiceBuilder::new()
        .layer(trace_layer(methods.clone(), move |peer| proxies.trusts(peer)))
        .layer(metrics_layer(methods))
        .layer(grpc::catch_panic())
        .layer(host_check(keys.is_open()))
        .layer(grpc::only());
    // Not around health: anybody may ask for it without a key, and it must not raise the level.
    let in_flight = degradation.in_flight_layer();
    let guarded = (around.clone(), in_flight, identify(keys, &config.limits), limits.grpc_layer());
    let services =
        grpc::router(services.into()).merge(grpc::reflection(&[DESCRIPTOR], shutdown.stop())?).layer(guarded);
    Ok(services.merge(open.layer((around, unary()))))
}

fn degraded(shed: Shed) -> Response {
    Status::from(ApiError::from(shed)).into_http()
}
