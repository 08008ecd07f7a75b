//! The gRPC API of reports.

use super::{
    Reports, Source, Submission, metrics,
    model::{Content, NewReport, Report, Submitted},
};
use crate::{
    error::ApiError,
    model::{Moment, PatientId},
    notifications::api::queue_key,
    proto::epro::{
        GetLatestReportRequest, GetLatestReportResponse, Report as ReportMessage, SubmitReportRequest,
        SubmitReportResponse, epro_service_server::EproService,
    },
};
use chassis_http::{Caller, Fault, Problem, RequestKey};
use chassis_queue::Key;
use chassis_telemetry::http::ResourceId;
use garde::Validate;
use prost::Message;
use tonic::{Request, Response, Status, metadata::MetadataValue};

const NO_REPORT: ApiError = ApiError::NotFound("The patient has no report.");
const SUBMIT: &str = "/epro.v1.EproService/SubmitReport";

#[tonic::async_trait]
impl EproService for Reports {
    async fn get_latest_report(
        &self,
        request: Request<GetLatestReportRequest>,
    ) -> Result<Response<GetLatestReportResponse>, Status> {
        let patient: PatientId = request
            .get_ref()
            .patient_id
            .parse()
            .map_err(|report| Problem::invalid(faults(report, "patient_id")))?;
        let report = self.latest(&patient).await.map_err(ApiError::from)?.ok_or(NO_REPORT)?;
        Ok(about(report.report_id.clone(), GetLatestReportResponse { report: Some(report.into()) }))
    }

    async fn submit_report(
        &self,
        request: Request<SubmitReportRequest>,
    ) -> Result<Response<SubmitReportResponse>, Status> {
        let (report, key) = read(&request).inspect_err(|_| metrics::submission(Source::Grpc, false))?;
        let submission = self.submit(Source::Grpc, report, key).await.map_err(named)?;
        let (Submission::New(submitted) | Submission::Replayed(submitted)) = &submission;
        let mut response = about(submitted.report_id.clone(), submitted.clone().into());
        if matches!(submission, Submission::Replayed(_)) {
            response.metadata_mut().insert("idempotency-replayed", MetadataValue::from_static("true"));
        }
        Ok(response)
    }
}

/// A problem that names the metadata where it is to blame.
fn named(error: ApiError) -> Problem {
    let key_is_wrong = matches!(error, ApiError::KeyReused);
    let problem = Problem::from(error);
    if !key_is_wrong {
        return problem;
    }
    let detail = "was used within 24 hours for another request".to_owned();
    problem.errors(vec![Fault { pointer: "idempotency-key".to_owned(), detail }])
}

/// A response whose call's line has the report's id.
fn about<T>(report_id: String, message: T) -> Response<T> {
    let mut response = Response::new(message);
    response.extensions_mut().insert(ResourceId(report_id));
    response
}

/// The report and its key, or everything that is wrong with the request.
fn read(request: &Request<SubmitReportRequest>) -> Result<(NewReport, Option<Key>), Problem> {
    let SubmitReportRequest { patient_id, content } = request.get_ref();
    let content = Content::new(content.clone());
    let patient = patient_id.parse::<PatientId>();
    let checked = content.validate();
    let key = key(request);
    let mut wrong = Vec::new();
    wrong.extend(patient.as_ref().err().into_iter().flat_map(|report| faults(report.clone(), "patient_id")));
    wrong.extend(checked.err().into_iter().flat_map(|report| faults(report, "content")));
    wrong.extend(key.as_ref().err().cloned());
    match (patient, key) {
        (Ok(patient_id), Ok(key)) if wrong.is_empty() => Ok((NewReport { patient_id, content }, key)),
        _ => Err(Problem::invalid(wrong)),
    }
}

/// Two messages are the same if they are once they are encoded again.
fn key(request: &Request<SubmitReportRequest>) -> Result<Option<Key>, Fault> {
    let caller = request.extensions().get::<Caller>();
    // It is encoded for nothing else.
    let caller = caller.filter(|_| request.metadata().contains_key("idempotency-key"));
    let Some(caller) = caller else { return Ok(None) };
    let message = request.get_ref().encode_to_vec();
    let key = RequestKey::read(request.metadata().as_ref(), caller, "POST", SUBMIT, &[&message]);
    let fault = |problem| Fault {
        pointer: "idempotency-key".to_owned(),
        detail: Status::from(problem).message().to_owned(),
    };
    Ok(key.map_err(fault)?.map(queue_key))
}

fn faults(report: garde::Report, field: &str) -> Vec<Fault> {
    let faults = report.into_inner().into_iter();
    faults.map(|(_, error)| Fault { pointer: field.to_owned(), detail: error.to_string() }).collect()
}

impl From<Report> for ReportMessage {
    fn from(report: Report) -> Self {
        let Report { report_id, content, submitted_at } = report;
        Self { report_id, content: content.into_inner(), submitted_at: seconds(submitted_at) }
    }
}

impl From<Submitted> for SubmitReportResponse {
    fn from(submitted: Submitted) -> Self {
        Self { report_id: submitted.report_id, submitted_at: seconds(submitted.submitted_at) }
    }
}

/// Whole Unix seconds.
fn seconds(moment: Moment) -> i64 {
    moment.unix_ms().div_euclid(1000)
}
