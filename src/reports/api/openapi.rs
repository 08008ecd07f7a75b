//! The domain's part of the API's description: an operation for each of its routes. The examples of answers
//! are made by the code that makes the answers.

#![expect(dead_code, reason = "shapes are told, and never made")]

use super::{
    KeptBody, LATEST, REPORT, ReportBody, SUBMIT, no_report, no_such_report, not_a_patient, preview, reused,
};
use crate::{
    platform::{
        http::{
            Problem,
            openapi::{Operation, text},
            refusals::{commit_unknown, store_unavailable},
        },
        resilience::Shed,
    },
    reports::{
        PREVIEW,
        model::{Content, Invalid, PatientId, Report, ReportId},
    },
};
use axum::http::Method;
use serde_json::{Value, json};
use std::time::Duration;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, SchemaFormat, schema::KnownFormat},
};

/// The groups that the operations are shown in.
pub const TAGS: &[(&str, &str)] = &[(REPORTS, "What patients report, and the latest of it.")];

const REPORTS: &str = "reports";
const ID: &str = "0sahp1kzg0000";

/// All operations of the domain.
pub fn operations() -> Vec<Operation> {
    vec![submit(), show(), latest(), preview()]
}

fn submit() -> Operation {
    let example = json!({ "patientId": "p-17", "content": "Pain 3 of 10; slept well." });
    Operation::new(Method::POST, SUBMIT, "submitReport", REPORTS, "Submit a report")
        .about("Answered once it is committed and synced.")
        .body::<NewReport>("The report.", &[("plain", example)])
        .answers::<Submitted>(201, "It is committed and synced.", json!(KeptBody::from(&report().kept())))
        .header(201, "Location")
        .link(201, "getReport", "reportId", "reportId")
        .idempotent()
        .problems([
            Problem::bad_request("Idempotency-Key must be 1 to 255 visible ASCII characters."),
            reused(),
            store_unavailable(),
            commit_unknown(),
        ])
}

fn show() -> Operation {
    Operation::new(Method::GET, REPORT, "getReport", REPORTS, "See a report")
        .in_path::<ReportId>("reportId", "The id of a report.", ID)
        .answers::<Shown>(200, "The report.", example())
        .problems([no_such_report(), store_unavailable()])
}

fn latest() -> Operation {
    Operation::new(Method::GET, LATEST, "getLatestReport", REPORTS, "See a patient's latest report")
        .in_path::<PatientId>("patientId", "The caller's own identifier of the patient.", "p-17")
        .answers::<Shown>(200, "The latest report.", example())
        .problems([no_report(), not_a_patient(Invalid("is not valid")), store_unavailable()])
}

fn preview() -> Operation {
    let shed = Shed { feature: PREVIEW, retry_after: Duration::from_secs(1) };
    Operation::new(Method::GET, preview::PREVIEW, "previewReport", REPORTS, "See a report as PDF")
        .about(
            "Chinese and Latin text alike, as far as the configured font has it. Left out before anything else when \
             there is too much to do.",
        )
        .in_path::<ReportId>("reportId", "The id of a report.", ID)
        .answers_text(200, "The report on A4 pages.", preview::PDF)
        .problems([no_such_report(), store_unavailable(), preview::unavailable(), shed.into()])
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewReport {
    patient_id: PatientId,
    content: Content,
}

/// It is committed and synced.
#[derive(ToSchema)]
#[schema(as = SubmittedReport)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Submitted {
    report_id: ReportId,
    #[schema(schema_with = moment)]
    submitted_at: String,
}

/// A report.
#[derive(ToSchema)]
#[schema(as = Report)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Shown {
    report_id: ReportId,
    content: Content,
    #[schema(schema_with = moment)]
    submitted_at: String,
}

impl PartialSchema for PatientId {
    fn schema() -> RefOr<Schema> {
        let schema = bounded(Self::MOST).pattern(Some("^[A-Za-z0-9._-]{1,64}$"));
        schema.description(Some("The caller's own identifier of a patient.")).into()
    }
}
impl ToSchema for PatientId {}

impl PartialSchema for Content {
    fn schema() -> RefOr<Schema> {
        let about = "What the patient reports: up to 32,768 bytes of UTF-8, which may be fewer characters.";
        bounded(Self::MOST).description(Some(about)).into()
    }
}
impl ToSchema for Content {}

impl PartialSchema for ReportId {
    fn schema() -> RefOr<Schema> {
        let schema = text().pattern(Some("^[0-7][0-9a-hjkmnp-tv-z]{12}$"));
        schema.description(Some("The id of a report.")).into()
    }
}
impl ToSchema for ReportId {}

fn bounded(most: usize) -> ObjectBuilder {
    text().min_length(Some(1)).max_length(Some(most))
}

fn moment() -> ObjectBuilder {
    let about = "A time in RFC 3339, in UTC with milliseconds.";
    text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))).description(Some(about))
}

fn example() -> Value {
    json!(ReportBody::from(&report()))
}

/// The report that the examples are about.
#[expect(clippy::expect_used, reason = "an example is a constant, and a test makes every one")]
fn report() -> Report {
    let id: ReportId = ID.parse().expect("an example is valid");
    Report {
        id,
        patient: "p-17".parse().expect("an example is valid"),
        content: "Pain 3 of 10; slept well.".parse().expect("an example is valid"),
        submitted_at: id.0.made_at(),
    }
}
