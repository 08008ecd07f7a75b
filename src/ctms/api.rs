//! The HTTP API: one route and its layers.

use super::{
    Config,
    reports::{Latest, Reports},
};
use crate::model::{Moment, PatientPath};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::header,
    response::{AppendHeaders, IntoResponse, Response},
};
use chassis_http::{
    Keys, Limits, Problem, ProblemBody, Scope, Valid, host_check, identify, layers, openapi, require,
};
use chassis_telemetry::http::{metrics_layer, trace_layer};
use serde::Serialize;
use std::sync::Arc;
use tower::ServiceBuilder;
use utoipa::{Modify as _, OpenApi, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// A patient's latest report.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LatestReport {
    #[schema(example = "0sahnpdaw0000")]
    report_id: String,
    #[schema(example = "Slept well, no pain.")]
    content: String,
    submitted_at: Moment,
    /// Whether it comes from the cache. It was the latest `Age` seconds ago, and another may have followed since.
    stale: bool,
}

/// See a patient's latest report
///
/// Asks the ePRO service. While that cannot answer, the last known report is given with `stale` and its `Age`.
#[utoipa::path(
    get, path = "/api/v1/patients/{patientId}/latest-report", tag = "reports", operation_id = "getLatestReport",
    security(("bearer" = ["read"])),
    params(PatientPath),
    responses(
        (status = 200, body = LatestReport, description = "The report.",
            headers(("Age" = u64, description = "Seconds since the ePRO service answered, if stale."))),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "There is no report."),
        (status = 422, body = ProblemBody, content_type = "application/problem+json",
            description = "The patientId is not valid."),
        (status = 503, body = ProblemBody, content_type = "application/problem+json",
            description = "The ePRO service cannot answer or refuses this service's API key, and nothing is known of the patient."),
    )
)]
async fn latest(
    State(reports): State<Arc<Reports>>,
    Valid(Path(PatientPath { patient_id })): Valid<Path<PatientPath>>,
) -> Result<Response, Problem> {
    let Latest { report, age } = reports.latest(&patient_id).await?;
    let shown = LatestReport {
        report_id: report.id.clone(),
        content: report.content.clone(),
        submitted_at: report.submitted_at,
        stale: age.is_some(),
    };
    let age = age.map(|age| (header::AGE, age.as_secs().to_string()));
    Ok((AppendHeaders(age), Json(shown)).into_response())
}

/// The route under the layers that every request passes, the first of which is the outermost.
pub fn router(reports: Arc<Reports>, config: &Config, keys: &Keys, limits: &Limits) -> Router {
    let server = &config.http.server;
    let proxies = config.limits.clone();
    let around = ServiceBuilder::new()
        .layer(trace_layer(move |peer| proxies.trusts(peer)))
        .layer(metrics_layer())
        .layer(layers::headers(server.tls.is_set()))
        .option_layer(layers::cors(&server.cors_origins))
        .layer(layers::catch_panic())
        .layer(host_check(keys.is_open()))
        .layer(identify(keys, &config.limits))
        .layer(limits.http_layer());
    let api: Router = routes().with_state(reports).into();
    api.route_layer((require(Scope::Read), layers::deadlines(server)))
        .merge(openapi::router("/api/v1/docs", "/api/v1/openapi.json", document()))
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed)
        .layer(around)
}

fn routes() -> OpenApiRouter<Arc<Reports>> {
    OpenApiRouter::with_openapi(Document::openapi()).routes(routes!(latest))
}

#[derive(OpenApi)]
#[openapi(
    info(title = "ctms", description = "The reports of patients as trial management sees them: asked of the ePRO \
        service, or from the cache while that cannot answer. JSON in camelCase; times are RFC 3339; errors are problems \
        after RFC 9457."),
    tags((name = "reports", description = "What patients have reported."))
)]
struct Document;

/// The API's description.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = routes().into_openapi();
    openapi::Common.modify(&mut document);
    document
}
