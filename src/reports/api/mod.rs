//! The HTTP API: which routes there are, and what each does.

pub mod openapi;
mod preview;

use super::{
    PREVIEW, READS, Reports,
    model::{Content, Invalid, Kept, PatientId, Report, ReportId},
    submit::{Rejected, Source, Submitted},
};
use crate::platform::{
    admission::Caller,
    auth::Scope,
    http::{
        Field, IdempotencyHeader, JsonBody, Problem, ResourceId, Routes, expected,
        refusals::{key_reused, unread, unwritten},
    },
    store::IdempotencyKey,
    time::rfc3339,
};
use axum::{
    Extension,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;

const SUBMIT: &str = "/api/v1/reports";
const REPORT: &str = "/api/v1/reports/{reportId}";
const LATEST: &str = "/api/v1/patients/{patientId}/reports/latest";
/// Bytes of a submission's body: a content of 32 KiB may be six times as long in JSON, with every byte escaped.
const LARGEST_BODY: usize = 256 * 1024;

/// All routes of the domain, to be given their state.
pub fn routes() -> Routes<Reports> {
    Routes::new()
        .post(SUBMIT, Scope::Send, submit)
        .largest_body(SUBMIT, LARGEST_BODY)
        .watched(SUBMIT)
        .get(REPORT, Scope::Read, show)
        .shed_as(REPORT, READS)
        .get(LATEST, Scope::Read, latest)
        .shed_as(LATEST, READS)
        .get(preview::PREVIEW, Scope::Read, preview::show)
        .shed_as(preview::PREVIEW, PREVIEW)
}

/// Keeps a report: 201 once it is committed.
async fn submit(
    reports: State<Reports>,
    caller: Extension<Caller>,
    key: Result<IdempotencyHeader, Problem>,
    body: Result<JsonBody, Problem>,
) -> Result<Response, Problem> {
    let (patient, content, key) = read(&caller, key, body).inspect_err(|_| reports.rejected(Source::Http))?;
    match reports.submit(Source::Http, patient, content, key).await {
        Ok(Submitted::New(kept)) => Ok(created(&kept)),
        Ok(Submitted::Replayed(kept)) => Ok(replayed(&kept)),
        Err(Rejected::KeyReused) => Err(reused()),
        Err(Rejected::Store(error)) => Err(unwritten(&error)),
    }
}

async fn latest(reports: State<Reports>, path: InPath) -> Result<Response, Problem> {
    let patient = text(path)?.parse().map_err(not_a_patient)?;
    let found = reports.latest(patient).await.map_err(|error| unread(&error))?;
    found.map(|report| shown(&report)).ok_or_else(no_report)
}

async fn show(reports: State<Reports>, path: InPath) -> Result<Response, Problem> {
    let id = text(path)?.parse::<ReportId>().map_err(|_| no_such_report())?;
    let found = reports.find(id).await.map_err(|error| unread(&error))?;
    found.map(|report| shown(&report)).ok_or_else(no_such_report)
}

type InPath = Result<Path<String>, PathRejection>;

/// Only a path that is no UTF-8 once decoded cannot be read.
fn text(path: InPath) -> Result<String, Problem> {
    path.map(|Path(text)| text).map_err(|_| Problem::bad_request("The path cannot be read."))
}

type Read = (PatientId, Content, Option<IdempotencyKey>);

fn read(
    caller: &Caller,
    key: Result<IdempotencyHeader, Problem>,
    body: Result<JsonBody, Problem>,
) -> Result<Read, Problem> {
    let (IdempotencyHeader(key), body) = (key?, body?);
    let mut fields = body.fields()?;
    let (patient, content) = (fields.required("patientId"), fields.required("content"));
    let (patient, content) = fields.finish_with((patient, content))?;
    let client = caller.client.to_string();
    let key = key.map(|key| IdempotencyKey::new(&client, "POST", SUBMIT, &key, body.bytes()));
    Ok((patient, content, key))
}

impl Field for PatientId {
    fn read(value: &Value) -> Result<Self, String> {
        checked(value)
    }
}

impl Field for Content {
    fn read(value: &Value) -> Result<Self, String> {
        checked(value)
    }
}

fn checked<T: std::str::FromStr<Err = Invalid>>(value: &Value) -> Result<T, String> {
    let text = value.as_str().ok_or_else(|| expected("a string", value))?;
    text.parse().map_err(|rule: Invalid| rule.to_string())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeptBody {
    report_id: String,
    submitted_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReportBody<'a> {
    report_id: String,
    content: &'a str,
    submitted_at: String,
}

impl From<&Kept> for KeptBody {
    fn from(kept: &Kept) -> Self {
        Self { report_id: kept.id.to_string(), submitted_at: rfc3339(kept.submitted_at) }
    }
}

impl<'a> From<&'a Report> for ReportBody<'a> {
    fn from(report: &'a Report) -> Self {
        let KeptBody { report_id, submitted_at } = KeptBody::from(&report.kept());
        Self { report_id, content: report.content.as_str(), submitted_at }
    }
}

fn created(kept: &Kept) -> Response {
    let mut response = json(StatusCode::CREATED, kept.id, &KeptBody::from(kept));
    if let Ok(place) = HeaderValue::from_maybe_shared(format!("{SUBMIT}/{}", kept.id)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

fn replayed(kept: &Kept) -> Response {
    const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
    let mut response = created(kept);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

fn shown(report: &Report) -> Response {
    json(StatusCode::OK, report.id, &ReportBody::from(report))
}

/// An answer whose line names the report.
fn json(status: StatusCode, id: ReportId, body: &impl Serialize) -> Response {
    // Strings alone: serialising them cannot fail.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let json = HeaderValue::from_static("application/json");
    let mut response = (status, [(header::CONTENT_TYPE, json)], body).into_response();
    response.extensions_mut().insert(ResourceId(id.to_string()));
    response
}

fn not_a_patient(Invalid(rule): Invalid) -> Problem {
    Problem::invalid(Vec::new()).detail(format!("The patientId in the path {rule}."))
}

fn no_report() -> Problem {
    Problem::not_found("There is no report of this patient.")
}

fn no_such_report() -> Problem {
    Problem::not_found("There is no report of this id.")
}

fn reused() -> Problem {
    key_reused("The Idempotency-Key was used within 24 hours for another body.")
}
