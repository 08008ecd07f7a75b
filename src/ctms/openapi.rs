//! The API's description: an operation for each route, its examples made by the code that makes the answers.

use super::{
    api::{LATEST, Shown, no_report, not_a_patient, not_let_in, unavailable},
    model::{PatientId, Report},
};
use crate::platform::{
    checked::IDENTIFIER_MOST,
    http::openapi::{Operation, text},
};
use axum::http::Method;
use serde_json::json;
use std::time::Duration;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

const REPORTS: &str = "reports";

/// The groups that the operations are shown in.
pub const TAGS: &[(&str, &str)] = &[(REPORTS, "What patients have reported.")];

/// All operations of the service.
pub fn operations() -> Vec<Operation> {
    let report = Report {
        id: "0sahnpdaw0000".to_owned(),
        content: "Slept well, no pain.".to_owned(),
        submitted_at: 1_795_417_814_000,
    };
    let about = "Asks the ePRO service. While that cannot answer, the report that it told last is given with \
        `stale` and its `Age`, as long as it is remembered.";
    let latest =
        Operation::new(Method::GET, LATEST, "getLatestReport", REPORTS, "See a patient's latest report")
            .about(about)
            .in_path::<PatientId>("patientId", "The caller's own identifier of the patient.", "p-17")
            .answers::<LatestReport>(200, "The report.", json!(Shown::new(&report, false)))
            .header(200, "Age")
            .problems([
                not_a_patient("The patientId in the path is not valid."),
                no_report(),
                not_let_in(),
                unavailable(Duration::from_secs(1)),
            ]);
    vec![latest]
}

/// A patient's latest report.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "it tells a shape, and is never made")]
struct LatestReport {
    report_id: String,
    content: String,
    #[schema(format = DateTime)]
    submitted_at: String,
    /// Whether it is from memory, and may have been followed by another one since: `Age` seconds ago it was the latest.
    stale: bool,
}

impl PartialSchema for PatientId {
    fn schema() -> RefOr<Schema> {
        let schema = text().min_length(Some(1)).max_length(Some(IDENTIFIER_MOST));
        schema.pattern(Some("^[A-Za-z0-9._-]{1,64}$")).into()
    }
}

impl ToSchema for PatientId {}
