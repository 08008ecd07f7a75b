//! The HTTP API: every route with the scope that it needs, and the layers around them.

use crate::{
    config::Config,
    error::{self, ApiError},
    notifications::{Notifications, api, dead_letters, model::StudyId, patients, studies},
    reports::{self, Reports},
};
use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef, FromRequestParts, Path},
    http::request::Parts,
};
use chassis_http::{Keys, Limits, Scope, ServerConfig, host_check, identify, layers, openapi, require};
use chassis_queue::JobId;
use chassis_resilience::Degradation;
use chassis_telemetry::http::{metrics_layer, trace_layer};
use std::sync::Arc;
use tower::{ServiceBuilder, util::MapResponseLayer};
use tower_http::compression::CompressionLayer;
use utoipa::{Modify as _, OpenApi, openapi::security::SecurityRequirement};
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt as _},
    routes,
};

/// The largest body in bytes, unless a route allows more.
const LARGEST_BODY: usize = 64 * 1024;

/// What handlers take as their state: each takes the part that it works with.
#[derive(Clone, FromRef)]
pub struct Api {
    pub notifications: Arc<Notifications>,
    pub reports: Reports,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "epro-notify",
        description = "Notifications for patients by SMS and push: kept once accepted, delivered through a gateway, and \
                       shown in what became of each. What patients report, and the latest of it. JSON in camelCase; \
                       times are RFC 3339; errors are problems after RFC 9457."
    ),
    servers((url = "/")),
    // Only parameters name it, which utoipa does not collect.
    components(schemas(StudyId)),
    tags(
        (name = "send", description = "Messages to patients, later or while the caller waits."),
        (name = "notifications", description = "What became of a message; cancelling it, and judging it."),
        (name = "dead letters", description = "What could not be delivered, and waits for a person."),
        (name = "studies", description = "Enrolment, and messages to every patient of a study."),
        (name = "patients", description = "The contact directory."),
        (name = "reports", description = "What patients report."),
    )
)]
struct Document;

/// Every route. `watched` ones wait for nobody outside, so their latency tells an overload. A group has one `route_layer`:
/// each is one more boxed service that a request passes.
fn routes(config: &ServerConfig, degradation: &Degradation) -> OpenApiRouter<Api> {
    let guard = |scope| (require(scope), layers::deadlines(config));
    let scoped = |scope, routes: OpenApiRouter<Api>| document_scope(scope, routes.route_layer(guard(scope)));
    let watched = degradation.latency_layer();
    let shed_reads = degradation.shed_layer(reports::READS, error::degraded);

    let sending = || (MapResponseLayer::new(api::count_refusals), guard(Scope::Send));
    let send_later = OpenApiRouter::new()
        .routes(routes!(api::send_sms_later))
        .routes(routes!(api::send_push_later))
        .route_layer((sending(), watched.clone()));
    let send = OpenApiRouter::new()
        .routes(routes!(api::send_sms_now))
        .routes(routes!(api::send_push_now))
        .routes(routes!(studies::send_to_study))
        .route_layer(sending())
        .merge(send_later);
    let cancel = OpenApiRouter::new().routes(routes!(api::cancel_notification));
    let large = DefaultBodyLimit::max(reports::api::LARGEST_BODY);
    let report = OpenApiRouter::new().routes(routes!(reports::api::submit)).route_layer((
        large,
        guard(Scope::Send),
        watched,
    ));
    let read = OpenApiRouter::new()
        .routes(routes!(api::get_notification))
        .routes(routes!(studies::get_batch))
        .routes(routes!(patients::get_patient))
        .routes(routes!(reports::api::show).layer(shed_reads.clone()))
        .routes(routes!(reports::api::latest).layer(shed_reads));
    #[cfg(feature = "pdf")]
    let read = read.routes(
        routes!(reports::api::preview).layer(degradation.shed_layer(reports::PREVIEW, error::degraded)),
    );
    let operate = OpenApiRouter::new()
        .routes(routes!(patients::put_patient, patients::delete_patient))
        .routes(routes!(studies::enrol_patient, studies::withdraw_patient))
        .routes(routes!(api::resolve_notification))
        .routes(routes!(dead_letters::list_dead_letters).layer(CompressionLayer::new()))
        .routes(routes!(dead_letters::replay_dead_letter))
        .routes(routes!(dead_letters::replay_dead_letters));

    OpenApiRouter::with_openapi(Document::openapi())
        .merge(document_scope(Scope::Send, send))
        .merge(scoped(Scope::Send, cancel))
        .merge(document_scope(Scope::Send, report))
        .merge(scoped(Scope::Read, read))
        .merge(scoped(Scope::Operate, operate))
}

/// The routes under the layers that every request passes, the first of which is the outermost.
pub fn router(api: Api, config: &Config, keys: &Keys, limits: &Limits) -> Router {
    let server = &config.http.server;
    let degradation = api.notifications.degradation.clone();
    let (router, document) = described(server, &degradation);
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

/// The header of every call that creates something.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes what `Idempotent` reads")]
pub struct IdempotencyKey {
    /// 1 to 255 visible ASCII characters: a repeat within 24 hours gets the first answer.
    #[param(rename = "Idempotency-Key", value_type = String, required = false, pattern = "^[!-~]{1,255}$")]
    key: Option<String>,
}

/// The id in a path. A text that is no id names nothing, so it is 404.
#[derive(Clone, Copy, Debug, utoipa::IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub struct PathId(
    /// The id of a notification, or of one of its jobs.
    pub JobId,
);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        const NOTHING: ApiError = ApiError::NotFound("Nothing has this id.");
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| NOTHING)?;
        text.parse().map(Self).map_err(|_| NOTHING)
    }
}
