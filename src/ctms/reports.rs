//! Asking the ePRO service for a patient's latest report, and what is answered where it cannot: the one from
//! memory, as long as there is one. How a call is made stands in the platform's client.

use super::{
    cache::{Cache, Remembered},
    metrics::Metrics,
    model::{Outage, PatientId, Report},
    standing::{Standing, State},
};
use crate::{
    platform::{
        grpc::{
            client::{Call, CallError, Channel, Client},
            status::DEGRADED,
        },
        health::Check,
        telemetry::{SpanExt, names},
    },
    proto::epro::{GetLatestReportRequest, GetLatestReportResponse, epro_service_client::EproServiceClient},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt;

/// The one call that is made.
pub const LATEST: Call = Call { service: "epro.v1.EproService", method: "GetLatestReport", repeatable: true };
/// When another try is worth it, where the ePRO service does not say.
const RETRY: Duration = Duration::from_secs(1);

/// What is known of a patient's latest report.
#[derive(Clone, Debug)]
pub enum Latest {
    /// From the ePRO service, just now.
    Live(Arc<Report>),
    /// From memory.
    Stale(Remembered),
    /// The ePRO service has none.
    NoReport,
    /// Nobody can say for now.
    Unknown { retry_after: Duration },
    /// The ePRO service does not let us in.
    Misconfigured,
}

/// The reports. Shared by all calls.
pub struct Reports {
    client: Client,
    cache: Cache,
    metrics: Metrics,
    standing: Standing,
}

impl Reports {
    /// Make it after the metrics recorder is installed: handles are kept.
    ///
    /// `check` tells how the ePRO service was when it was asked last; it is passed at first.
    pub fn new(client: Client, cache: Cache, check: Check) -> Self {
        Self { client, cache, metrics: Metrics::new(), standing: Standing::new(check) }
    }

    /// Asks the ePRO service, and memory if that cannot answer.
    pub async fn latest(&self, patient: &PatientId) -> Latest {
        let message = GetLatestReportRequest { patient_id: patient.as_str().to_owned() };
        let answer = self.client.call(LATEST, message, None, ask).await;
        match answer.map(told) {
            Ok(Some(report)) => {
                self.standing.is(State::Answers);
                self.metrics.live();
                let report = Arc::new(report);
                self.cache.put(patient, Arc::clone(&report), Instant::now());
                Latest::Live(report)
            }
            // A message without its report comes from no service of this protocol.
            Ok(None) => self.without(patient, Outage::Failed, RETRY),
            Err(error) => match meaning(&error) {
                Meaning::NoReport => {
                    self.standing.is(State::Answers);
                    self.metrics.no_report();
                    // It was there once, if it is remembered, and no longer is.
                    self.cache.forget(patient);
                    Latest::NoReport
                }
                Meaning::Misconfigured => self.not_let_in(),
                Meaning::Outage(outage, retry_after) => self.without(patient, outage, retry_after),
            },
        }
    }

    /// What memory has to say.
    fn without(&self, patient: &PatientId, outage: Outage, retry_after: Duration) -> Latest {
        self.standing.is(State::Silent);
        let remembered = self.cache.get(patient, Instant::now());
        self.metrics.fallback(outage, remembered.is_some());
        let source = if remembered.is_some() { "cache" } else { "none" };
        let why = [(names::SOURCE, source.to_owned()), (names::REASON, outage.as_str().to_owned())];
        tracing::Span::current().add_event("answered without the ePRO service", &why);
        remembered.map_or(Latest::Unknown { retry_after }, Latest::Stale)
    }

    /// Memory is not asked: whom we are not to see any more is not to be seen from there either.
    fn not_let_in(&self) -> Latest {
        self.metrics.misconfigured();
        self.standing.is(State::Closed);
        Latest::Misconfigured
    }
}

async fn ask(
    channel: Channel,
    request: Request<GetLatestReportRequest>,
) -> Result<Response<GetLatestReportResponse>, Status> {
    EproServiceClient::new(channel).get_latest_report(request).await
}

fn told(answer: Response<GetLatestReportResponse>) -> Option<Report> {
    let report = answer.into_inner().report?;
    let submitted_at = report.submitted_at.saturating_mul(1000);
    Some(Report { id: report.report_id, content: report.content, submitted_at })
}

/// What a call that did not bring a report means to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    NoReport,
    Misconfigured,
    /// With when another try is worth it.
    Outage(Outage, Duration),
}

fn meaning(error: &CallError) -> Meaning {
    let status = match error {
        CallError::BreakerOpen => return Meaning::Outage(Outage::BreakerOpen, RETRY),
        CallError::Throttled => return Meaning::Outage(Outage::Throttled, RETRY),
        CallError::Deadline => return Meaning::Outage(Outage::Deadline, RETRY),
        CallError::Failed(status) => status,
    };
    let outage = match status.code() {
        Code::NotFound => return Meaning::NoReport,
        Code::Unauthenticated | Code::PermissionDenied => return Meaning::Misconfigured,
        Code::DeadlineExceeded => Outage::Deadline,
        Code::ResourceExhausted => Outage::Refused,
        Code::Unavailable if is_shed(status) => Outage::Refused,
        Code::Unavailable | Code::Cancelled | Code::Aborted => Outage::Unavailable,
        _ => Outage::Failed,
    };
    let told = status.get_details_retry_info().and_then(|info| info.retry_delay);
    Meaning::Outage(outage, told.unwrap_or(RETRY))
}

/// It chose not to answer, so that it can answer others.
fn is_shed(status: &Status) -> bool {
    status.get_details_error_info().is_some_and(|info| info.reason == DEGRADED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    #[test]
    fn only_what_the_service_said_of_the_patient_is_an_answer() {
        let failed = |code| meaning(&CallError::Failed(Status::new(code, "")));
        assert_eq!(failed(Code::NotFound), Meaning::NoReport);
        for code in [Code::Unauthenticated, Code::PermissionDenied] {
            assert_eq!(failed(code), Meaning::Misconfigured, "{code:?}");
        }
        for number in 1..=16 {
            let code = Code::from_i32(number);
            if !matches!(code, Code::NotFound | Code::Unauthenticated | Code::PermissionDenied) {
                assert!(matches!(failed(code), Meaning::Outage(_, RETRY)), "{code:?}");
            }
        }
    }

    #[test]
    fn when_to_come_again_is_what_the_service_says() {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(7)));
        let shed = Status::with_error_details(Code::ResourceExhausted, "shed", details);
        let expected = Meaning::Outage(Outage::Refused, Duration::from_secs(7));
        assert_eq!(meaning(&CallError::Failed(shed)), expected);
    }
}
