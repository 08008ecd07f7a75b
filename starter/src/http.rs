//! The HTTP API: every route with the scope that it needs, and the layers around them.

use crate::example;
use crate::{
    config::Config,
    error::{self, ApiError},
    jobs::{self, Job, Queue},
};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use chassis_http::{
    Keys, Limits, RequestKey, Scope, ServerConfig, host_check, identify, layers, openapi, require,
};
use chassis_queue::{Answer, Enqueue, Enqueued, JobId, Key};
use chassis_resilience::Degradation;
use chassis_telemetry::http::{ResourceId, metrics_layer, trace_layer};
use std::sync::Arc;
use tower::ServiceBuilder;
use utoipa::{Modify as _, OpenApi, ToSchema, openapi::security::SecurityRequirement};
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt as _},
    routes,
};

/// The largest body in bytes.
const LARGEST_BODY: usize = 64 * 1024;

/// What handlers take as their state.
#[derive(Clone)]
pub struct Api {
    pub queue: Queue,
}

/// The answer to a request whose job is stored.
#[derive(serde::Serialize, ToSchema)]
pub struct Accepted {
    pub id: JobId,
}

impl Api {
    /// Commits a job and answers 202; a repeat with the same key gets the first answer.
    ///
    /// # Errors
    /// Nothing was stored, unless it is [`ApiError::CommitUnknown`].
    pub async fn enqueue(
        &self,
        channel: &'static str,
        job: Job,
        key: Option<RequestKey>,
    ) -> Result<Response, ApiError> {
        let id = self.queue.new_id(1);
        let body = serde_json::to_vec(&Accepted { id }).map_err(|_| ApiError::Internal)?;
        let enqueue = Enqueue {
            key: key.map(|key| Key { scope: key.scope, digest: key.digest }),
            answer: Answer { status: StatusCode::ACCEPTED.as_u16(), body: body.clone(), location: None },
            ..Enqueue::new(id, channel, vec![job])
        };
        let body = match self.queue.enqueue(enqueue).await? {
            Enqueued::New => body,
            Enqueued::Replayed(first) => first.body,
        };
        let json = [(header::CONTENT_TYPE, "application/json")];
        let mut response = (StatusCode::ACCEPTED, json, body).into_response();
        // For the request's line.
        response.extensions_mut().insert(ResourceId(id.to_string()));
        Ok(response)
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "starter-service",
        description = "JSON in camelCase; times are RFC 3339; errors are problems after RFC 9457."
    ),
    servers((url = "/")),
    tags(
        (name = "examples", description = "The example endpoint."),
    )
)]
struct Document;

/// Every route, under the scope that it needs. `watched` ones wait for nobody outside, so their latency tells an overload.
fn routes(config: &ServerConfig, degradation: &Degradation) -> OpenApiRouter<Api> {
    let scoped = |scope: Scope, routes: OpenApiRouter<Api>| {
        document_scope(scope, routes.route_layer((require(scope), layers::deadlines(config))))
    };
    let watched = degradation.latency_layer();
    let shed = degradation.shed_layer(jobs::ACCEPT, error::degraded);

    let send = OpenApiRouter::new()
        // Those that accept a job.
        .routes(routes!(example::api::accept).layer(watched.clone()))
        .route_layer(shed);

    OpenApiRouter::with_openapi(Document::openapi()).merge(scoped(Scope::Send, send))
}

/// The routes under the layers that every request passes, the first of which is the outermost.
pub fn router(api: Api, config: &Config, keys: &Keys, limits: &Limits, degradation: &Degradation) -> Router {
    let server = &config.http.server;
    let (router, document) = described(server, degradation);
    let proxies = Arc::new(config.limits.clone());
    let around = ServiceBuilder::new()
        .layer(trace_layer(move |peer| proxies.trusts(peer)))
        .layer(metrics_layer())
        .layer(layers::headers(server.tls.is_set()))
        .option_layer(layers::cors(&server.cors_origins))
        .layer(layers::catch_panic())
        .layer(degradation.in_flight_layer())
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(host_check(keys.is_open()))
        .layer(identify(keys, &config.limits))
        .layer(limits.http_layer());
    router
        .with_state(api)
        .merge(openapi::router("/api/v1/docs", "/api/v1/openapi.json", document))
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed)
        .layer(around)
}

/// The API's description, which is the same under every configuration.
pub fn document() -> utoipa::openapi::OpenApi {
    described(&ServerConfig::default(), &Degradation::new(&[], Default::default())).1
}

fn described(config: &ServerConfig, degradation: &Degradation) -> (Router<Api>, utoipa::openapi::OpenApi) {
    let (router, mut document) = routes(config, degradation).split_for_parts();
    openapi::Common.modify(&mut document);
    (router, document)
}

/// Says in the description which scope the routes need.
fn document_scope(scope: Scope, mut routes: OpenApiRouter<Api>) -> OpenApiRouter<Api> {
    for item in routes.get_openapi_mut().paths.paths.values_mut() {
        for operation in
            [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten()
        {
            operation.security = Some(vec![SecurityRequirement::new(openapi::SECURITY, [scope.as_str()])]);
        }
    }
    routes
}
