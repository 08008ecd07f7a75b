//! A small service that stacks every layer, and a caller of it.

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    routing::{get, post, post_service},
};
use chassis_http::{
    AuthConfig, Idempotent, Key, Keys, Limits, LimitsConfig, PerClient, Problem, Scope, ServerConfig, Valid,
    grpc, host_check, identify, layers, require, require_key_to_change, server,
};
use chassis_telemetry::http::{metrics_layer, trace_layer};
use garde::Validate;
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use std::{
    future::pending,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_server::{Health, HealthServer},
};
use tower::ServiceBuilder;

/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(20);
/// Time-outs that a test can wait for.
pub const SHORT: Duration = Duration::from_millis(300);

pub fn config() -> ServerConfig {
    ServerConfig { body_timeout: SHORT, handler_timeout: SHORT, max_connections: 100, ..Default::default() }
}

pub fn limited(rate: u32, burst: u32) -> LimitsConfig {
    LimitsConfig { per_client: PerClient { rate, burst }, ..LimitsConfig::default() }
}

/// A limit that no test reaches by accident.
pub fn wide() -> LimitsConfig {
    limited(1_000_000, 1_000_000)
}

/// One key with this scope, whose text is its name.
pub fn key(name: &str, scope: &str) -> Keys {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let line = Key::of(name.parse().unwrap(), scope.parse().unwrap(), name).line();
    std::fs::write(&path, line).unwrap();
    AuthConfig { api_keys_file: Some(path) }.keys().unwrap()
}

#[derive(Deserialize, Validate)]
struct Thing {
    #[garde(length(chars, min = 1))]
    name: String,
}

/// Everything that a service's `http.rs` stacks.
pub fn router(config: &ServerConfig, keys: &Keys, limits: &LimitsConfig) -> Router {
    let kept = async |Idempotent { body: Valid(Json(thing)), .. }: Idempotent<Valid<Json<Thing>>>| thing.name;
    let read = Router::new()
        .route("/things/{id}", get(async || "a thing"))
        .route("/slow", get(async || pending::<()>().await))
        .route_layer(layers::deadlines(config))
        .route_layer(require(Scope::Read));
    let send = Router::new()
        .route("/things", post(kept))
        .route("/slow", post(async || pending::<()>().await))
        .route("/panic", post(async || -> StatusCode { panic!("as the test wants") }))
        .route_layer(layers::deadlines(config))
        .route_layer(require(Scope::Send));
    let operate = Router::new()
        .route("/switch", post(async || "switched"))
        .route_layer(layers::deadlines(config))
        .route_layer(require_key_to_change(Scope::Operate));
    read.merge(send)
        .merge(operate)
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed)
        .layer(
            ServiceBuilder::new()
                .layer(trace_layer(|_| false))
                .layer(metrics_layer())
                .layer(layers::headers(config.tls.is_set()))
                .option_layer(layers::cors(&config.cors_origins))
                .layer(layers::catch_panic())
                .layer(DefaultBodyLimit::max(64 * 1024))
                .layer(host_check(keys.is_open()))
                .layer(identify(keys, limits))
                .layer(Limits::new(limits).http_layer()),
        )
}

/// A service of gRPC: the name that is asked for says what happens.
#[derive(Clone, Debug)]
struct Sample;

pub const CHECK: &str = "/grpc.health.v1.Health/Check";

#[tonic::async_trait]
impl Health for Sample {
    type WatchStream = futures_util::stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let deadline = request.extensions().get::<grpc::Deadline>().unwrap().0;
        match request.get_ref().service.as_str() {
            "panic" => panic!("as the test wants"),
            "slow" => pending().await,
            "problem" => Err(Problem::not_found("none").into()),
            _ => {
                let left = deadline.duration_since(Instant::now()).as_millis();
                Ok(Response::new(HealthCheckResponse { status: left as i32 }))
            }
        }
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("no streams here"))
    }
}

/// Everything that a service's `grpc.rs` stacks, but telemetry.
pub fn grpc_router(config: &ServerConfig) -> Router {
    let (keys, limits) = (Keys::open(), wide());
    let check = post_service(HealthServer::new(Sample)).route_layer(require(Scope::Read));
    let services = Router::new().route(CHECK, check).route_layer(grpc::unary(config));
    grpc::router(services.into()).layer(
        ServiceBuilder::new()
            .layer(grpc::catch_panic())
            .layer(grpc::only())
            .layer(host_check(keys.is_open()))
            .layer(identify(&keys, &limits))
            .layer(Limits::new(&limits).grpc_layer()),
    )
}

/// Serves this on a free port until the test's runtime ends.
pub async fn serve(router: Router, config: &ServerConfig) -> SocketAddr {
    let listener = server::bind("test", "127.0.0.1:0".parse().unwrap(), &config.tls).await.unwrap();
    let address = listener.address().unwrap();
    tokio::spawn(server::serve(listener, router, config, CancellationToken::new()));
    address
}

/// A request of a new caller.
pub fn request(address: SocketAddr, method: &str, path: &str) -> RequestBuilder {
    let client = Client::builder().no_proxy().timeout(LONG).build().unwrap();
    client.request(method.parse().unwrap(), format!("http://{address}{path}"))
}
