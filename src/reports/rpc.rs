//! The gRPC API.

use super::{
    READS, Reports,
    model::{Content, Invalid, Kept, PatientId, Report},
    submit::{Rejected, Source, Submitted},
};
use crate::{
    platform::{
        admission::Caller,
        auth::Scope,
        grpc::{
            Method, Services,
            status::{self, Violation},
        },
        http::{IdempotencyHeader, ResourceId, refusals::STORE_RETRY},
        store::{IdempotencyKey, StoreError, WriteError},
    },
    proto::epro::{
        DESCRIPTOR, GetLatestReportRequest, GetLatestReportResponse, Report as Shown, SubmitReportRequest,
        SubmitReportResponse,
        epro_service_server::{EproService, EproServiceServer},
    },
};
use prost::Message;
use tonic::{Request, Response, Status, metadata::MetadataValue};

const SERVICE: &str = "epro.v1.EproService";
const SUBMIT: &str = "/epro.v1.EproService/SubmitReport";
const KEY: &str = "idempotency-key";

struct Rpc {
    reports: Reports,
}

/// The service and its methods.
pub fn services(reports: Reports) -> Services {
    let method = |name, scope, feature| Method { service: SERVICE, name, scope, feature };
    let methods =
        [method("GetLatestReport", Scope::Read, Some(READS)), method("SubmitReport", Scope::Send, None)];
    Services::new()
        .add(EproServiceServer::new(Rpc { reports }), &methods)
        .watched(SERVICE, "SubmitReport")
        .described_by(DESCRIPTOR)
}

#[tonic::async_trait]
impl EproService for Rpc {
    async fn get_latest_report(
        &self,
        request: Request<GetLatestReportRequest>,
    ) -> Result<Response<GetLatestReportResponse>, Status> {
        let patient = request.get_ref().patient_id.parse::<PatientId>();
        let patient = patient.map_err(|Invalid(rule)| status::invalid([("patient_id", rule.into())]))?;
        let latest = self.reports.latest(patient).await.map_err(|error| unread(&error))?;
        let report = latest.ok_or_else(|| Status::not_found("the patient has no report"))?;
        let id = report.id.to_string();
        Ok(about(id, GetLatestReportResponse { report: Some(shown(report)) }))
    }

    async fn submit_report(
        &self,
        request: Request<SubmitReportRequest>,
    ) -> Result<Response<SubmitReportResponse>, Status> {
        let (patient, content, key) = read(&request).map_err(|violations| {
            self.reports.rejected(Source::Grpc);
            status::invalid(violations)
        })?;
        let submitted = self.reports.submit(Source::Grpc, patient, content, key).await;
        let (Submitted::New(kept) | Submitted::Replayed(kept)) = submitted.as_ref().map_err(rejected)?;
        let mut response = about(kept.id.to_string(), answer(kept));
        if let Ok(Submitted::Replayed(_)) = submitted {
            response.metadata_mut().insert("idempotency-replayed", MetadataValue::from_static("true"));
        }
        Ok(response)
    }
}

type Read = (PatientId, Content, Option<IdempotencyKey>);

/// A submission's parts, or everything that is wrong with it.
fn read(request: &Request<SubmitReportRequest>) -> Result<Read, Vec<Violation>> {
    let message = request.get_ref();
    let mut violations = Vec::new();
    let mut note = |field, Invalid(rule)| violations.push((field, rule.into()));
    let patient = message.patient_id.parse().map_err(|rule| note("patient_id", rule)).ok();
    let content = message.content.parse().map_err(|rule| note("content", rule)).ok();
    let key = IdempotencyHeader::read(request.metadata().as_ref()).map_err(|rule| note(KEY, rule)).ok();
    match (patient, content, key) {
        (Some(patient), Some(content), Some(IdempotencyHeader(key))) => {
            Ok((patient, content, key.map(|key| scoped(request, &key))))
        }
        _ => Err(violations),
    }
}

/// Two messages are the same if they are once they are encoded anew.
fn scoped(request: &Request<SubmitReportRequest>, key: &str) -> IdempotencyKey {
    let client = request.extensions().get::<Caller>().map(|caller| caller.client.to_string());
    let body = request.get_ref().encode_to_vec();
    IdempotencyKey::new(&client.unwrap_or_default(), "POST", SUBMIT, key, &body)
}

fn shown(report: Report) -> Shown {
    let submitted_at = seconds(report.submitted_at);
    Shown { report_id: report.id.to_string(), content: report.content.as_str().to_owned(), submitted_at }
}

fn answer(kept: &Kept) -> SubmitReportResponse {
    SubmitReportResponse { report_id: kept.id.to_string(), submitted_at: seconds(kept.submitted_at) }
}

/// Whole Unix seconds of Unix milliseconds.
fn seconds(unix_ms: i64) -> i64 {
    unix_ms.div_euclid(1000)
}

/// An answer whose line names the report.
fn about<T>(id: String, message: T) -> Response<T> {
    let mut response = Response::new(message);
    response.extensions_mut().insert(ResourceId(id));
    response
}

fn rejected(why: &Rejected) -> Status {
    match why {
        Rejected::KeyReused => {
            status::invalid([(KEY, "was used within 24 hours for another message".into())])
        }
        Rejected::Store(WriteError::Refused(error)) => unread(error),
        Rejected::Store(WriteError::CommitUnknown(_)) => status::commit_unknown(STORE_RETRY),
    }
}

fn unread(error: &StoreError) -> Status {
    match error {
        StoreError::Unavailable(_) => {
            status::unavailable("the store cannot be used now; nothing was stored", STORE_RETRY)
        }
        StoreError::Statement(_) => status::internal(),
    }
}
