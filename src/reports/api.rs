//! The HTTP API of reports. Scopes and layers of these routes stand in `http.rs`.

use super::{
    Reports, Source, Submission, metrics,
    model::{NewReport, Report, Submitted},
};
use crate::{
    error::{ApiError, NotFound},
    http::{IdempotencyKey, PathId},
    model::PatientPath,
    notifications::api::{REPLAYED, queue_key},
};
use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{AppendHeaders, IntoResponse, Response},
};
use chassis_http::{Idempotent, Problem, ProblemBody, Valid};
use chassis_telemetry::http::ResourceId;

/// Bytes of a submission's body: each of the content's 32 KiB may take six in JSON.
pub const LARGEST_BODY: usize = 256 * 1024;

type Body = Idempotent<Valid<Json<NewReport>>>;

/// Submit a report
///
/// Answered once it is committed and synced.
#[utoipa::path(
    post, path = "/api/v1/reports", tag = "reports", operation_id = "submitReport", request_body = NewReport,
    params(IdempotencyKey),
    responses(
        (status = 201, body = Submitted, description = "The report is committed and synced.",
            headers(("Location" = String, description = "Path of the report."))),
        (status = 503, body = ProblemBody, content_type = "application/problem+json",
            description = "Nothing was stored, unless the type is commit-unknown: then repeat it with the same key."),
    )
)]
pub async fn submit(
    State(reports): State<Reports>,
    body: Result<Body, Problem>,
) -> Result<Response, ApiError> {
    let Idempotent { key, body: Valid(Json(report)) } =
        body.inspect_err(|_| metrics::submission(Source::Http, false))?;
    let key = key.map(queue_key);
    let (submitted, replayed) = match reports.submit(Source::Http, report, key).await? {
        Submission::New(submitted) => (submitted, None),
        Submission::Replayed(submitted) => (submitted, Some((REPLAYED, "true"))),
    };
    let location = (header::LOCATION, format!("/api/v1/reports/{}", submitted.report_id));
    let id = about(&submitted.report_id);
    Ok((StatusCode::CREATED, id, [location], AppendHeaders(replayed), Json(submitted)).into_response())
}

const NO_REPORT: ApiError = ApiError::NotFound("There is no such report.");

/// See a report
#[utoipa::path(
    get, path = "/api/v1/reports/{reportId}", tag = "reports", operation_id = "getReport",
    params(("reportId" = String, Path, description = "The id of a report.")),
    responses((status = 200, body = Report, description = "The report."), NotFound)
)]
pub async fn show(State(reports): State<Reports>, PathId(id): PathId) -> Result<impl IntoResponse, ApiError> {
    let report = reports.find(id).await?.ok_or(NO_REPORT)?;
    Ok((about(&report.report_id), Json(report)))
}

/// See a patient's latest report
#[utoipa::path(
    get, path = "/api/v1/patients/{patientId}/reports/latest", tag = "reports", operation_id = "getLatestReport",
    params(PatientPath),
    responses((status = 200, body = Report, description = "The latest report."), NotFound)
)]
pub async fn latest(
    State(reports): State<Reports>,
    Valid(Path(PatientPath { patient_id })): Valid<Path<PatientPath>>,
) -> Result<impl IntoResponse, ApiError> {
    let report = reports.latest(&patient_id).await?.ok_or(NO_REPORT)?;
    Ok((about(&report.report_id), Json(report)))
}

/// Puts the report's id on the request's line.
fn about(report_id: &str) -> Extension<ResourceId> {
    Extension(ResourceId(report_id.to_owned()))
}

/// See a report as PDF
///
/// Shed before anything else under overload.
#[cfg(feature = "pdf")]
#[utoipa::path(
    get, path = "/api/v1/reports/{reportId}/preview.pdf", tag = "reports", operation_id = "previewReport",
    params(("reportId" = String, Path, description = "The id of a report.")),
    responses(
        (status = 200, body = [u8], content_type = "application/pdf", description = "The report on A4 pages."),
        (status = 501, body = ProblemBody, content_type = "application/problem+json",
            description = "No font is configured."),
        NotFound,
    )
)]
pub async fn preview(State(reports): State<Reports>, PathId(id): PathId) -> Result<Response, ApiError> {
    // Before the store is asked: every caller learns that no font is configured, whatever the id.
    let preview = reports.0.preview.as_ref().ok_or_else(no_font)?;
    let report = reports.find(id).await?.ok_or(NO_REPORT)?;
    let id = about(&report.report_id);
    let name = format!("inline; filename=\"report-{}.pdf\"", report.report_id);
    let pdf = preview.draw(report).await?;
    let headers = [(header::CONTENT_TYPE, "application/pdf".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((id, headers, pdf).into_response())
}

#[cfg(feature = "pdf")]
fn no_font() -> Problem {
    Problem::new(StatusCode::NOT_IMPLEMENTED, "preview-unavailable", "Previews are not available")
        .detail("Previews need a font: set APP_REPORTS__PREVIEW__FONT_FILE.")
}
