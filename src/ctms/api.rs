//! The HTTP API: one route, and how what is known is told.

use super::{
    model::{PatientId, Report},
    reports::{Latest, Reports},
};
use crate::platform::{
    auth::Scope,
    http::{Problem, Routes},
};
use axum::{
    extract::{FromRequestParts, Path, State},
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::Serialize;
use std::{sync::Arc, time::Duration};

pub const LATEST: &str = "/api/v1/patients/{patientId}/latest-report";

/// All routes, to be given their state.
pub fn routes() -> Routes<Arc<Reports>> {
    Routes::new().get(LATEST, Scope::Read, latest)
}

async fn latest(State(reports): State<Arc<Reports>>, patient: PatientInPath) -> Result<Response, Problem> {
    match reports.latest(&patient.0).await {
        Latest::Live(report) => shown(&report, None),
        Latest::Stale(remembered) => shown(&remembered.report, Some(remembered.age)),
        Latest::NoReport => Err(no_report()),
        Latest::Unknown { retry_after } => Err(unavailable(retry_after)),
        Latest::Misconfigured => Err(not_let_in()),
    }
}

/// The patient that a path names; 422 if the text can be no patient's.
struct PatientInPath(PatientId);

impl<S: Send + Sync> FromRequestParts<S> for PatientInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // Only a path that is no UTF-8 once decoded fails here.
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::bad_request("The path cannot be read."))?;
        text.parse().map(Self).map_err(|rule| not_a_patient(format!("The patientId in the path {rule}.")))
    }
}

/// A report as it is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown<'a> {
    report_id: &'a str,
    content: &'a str,
    submitted_at: String,
    stale: bool,
}

impl<'a> Shown<'a> {
    pub fn new(report: &'a Report, stale: bool) -> Self {
        // Beyond the years that RFC 3339 can write is nothing that a service of this protocol tells.
        let submitted_at = Timestamp::from_millisecond(report.submitted_at).unwrap_or_default();
        Self {
            report_id: &report.id,
            content: &report.content,
            submitted_at: format!("{submitted_at:.3}"),
            stale,
        }
    }
}

/// `age` is that of a report from memory: whole seconds since it was told, as `Age` counts them (RFC 9111, 5.1).
fn shown(report: &Report, age: Option<Duration>) -> Result<Response, Problem> {
    const JSON: (HeaderName, HeaderValue) =
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = serde_json::to_vec(&Shown::new(report, age.is_some())).map_err(|_| Problem::internal())?;
    let mut response = (StatusCode::OK, [JSON], body).into_response();
    if let Some(age) = age {
        response.headers_mut().insert(header::AGE, HeaderValue::from(age.as_secs()));
    }
    Ok(response)
}

pub fn not_a_patient(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::invalid(Vec::new()).detail(detail)
}

pub fn no_report() -> Problem {
    Problem::not_found("There is no report of this patient.")
}

/// 503: neither the ePRO service nor memory can say.
pub fn unavailable(retry_after: Duration) -> Problem {
    Problem::unavailable(
        "epro-unavailable",
        "The ePRO service cannot answer now, and no report of this patient is remembered.",
    )
    .retry_after(retry_after)
}

/// 502: nothing that the caller can do anything about.
pub fn not_let_in() -> Problem {
    Problem::new(StatusCode::BAD_GATEWAY, "epro-refused", "The ePRO service does not let us in")
        .detail("This service's own key is not accepted there; its operator has to see to it.")
}
