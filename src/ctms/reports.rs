//! Asks the ePRO service for a patient's latest report, and answers from the cache while that cannot.

use crate::{
    model::{Moment, PatientId},
    proto::epro::{GetLatestReportRequest, epro_service_client::EproServiceClient},
};
use chassis::Check;
use chassis_http::Problem;
use chassis_rpc::{Channel, Method, Refusal, is_shed, retry_after};
use chassis_telemetry::{
    SpanExt,
    catalogue::{Metric, Values, counter, gauge},
};
use moka::{notification::RemovalCause, policy::EvictionPolicy, sync::Cache};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tonic::{Code, Status};
use tracing::Span;

/// The calls that are made.
pub const METHODS: &[Method] = &[Method::read("epro.v1.EproService", "GetLatestReport")];
/// The most that is remembered, in bytes.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// What an entry takes beside its texts, in bytes.
const OVERHEAD: usize = 384;
/// When another try is worth it, where the ePRO service does not say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

const OUTAGES: &[&str] = &["breaker_open", "deadline", "failed", "refused", "throttled", "unavailable"];
const ANSWERS: Metric = counter(
    "ctms_report_answers_total",
    "Answers by their source: the ePRO service, the cache, or neither; and why.",
)
.labels(&[
    ("source", Values::Closed(&["live", "cache", "none"])),
    ("reason", Values::Open("found, not_found, misconfigured, or why the ePRO service gave no answer")),
]);
const ENTRIES: Metric = gauge("ctms_cache_entries", "Patients whose latest report is in the cache.");
const EVICTIONS: Metric =
    counter("ctms_cache_evictions_total", "Reports that left the cache because it was full.").from_zero();

/// The metrics of this service alone.
pub const METRICS: &[Metric] = &[ANSWERS, ENTRIES, EVICTIONS];

/// A patient's latest report, as the ePRO service answered.
pub struct Report {
    pub id: String,
    pub content: String,
    pub submitted_at: Moment,
    answered: Instant,
}

/// A report, and how long ago it was the latest if it comes from the cache.
pub struct Latest {
    pub report: Arc<Report>,
    pub age: Option<Duration>,
}

/// What the last call came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Answers,
    Silent,
    Refuses,
}

/// The reports. Shared by all requests.
pub struct Reports {
    client: EproServiceClient<Channel>,
    cache: Cache<String, Arc<Report>>,
    standing: Mutex<Standing>,
    check: Check,
}

impl Reports {
    /// `check` passes whatever the ePRO service does, and says when reports come from the cache. Call this after the
    /// metrics recorder is installed.
    pub fn new(channel: Channel, cache_max: u64, check: Check) -> Self {
        let sources =
            ["cache", "none"].iter().flat_map(|source| OUTAGES.iter().map(move |reason| (*source, *reason)));
        let others = [("live", "found"), ("live", "not_found"), ("none", "misconfigured")];
        sources.chain(others).for_each(|(source, reason)| count(source, reason, 0));
        check.ok();
        let (client, standing) = (EproServiceClient::new(channel), Standing::Answers.into());
        Self { client, cache: cache(cache_max), standing, check }
    }

    /// A patient's latest report.
    ///
    /// # Errors
    /// There is none, or neither the ePRO service nor the cache can say.
    pub async fn latest(&self, patient: &PatientId) -> Result<Latest, Problem> {
        let request = GetLatestReportRequest { patient_id: patient.as_str().to_owned() };
        let answer = self.client.clone().get_latest_report(request).await;
        match answer.and_then(|answer| report(answer.into_inner().report)) {
            Ok(report) => {
                self.is(Standing::Answers);
                count("live", "found", 1);
                let report = Arc::new(report);
                self.cache.insert(patient.as_str().to_owned(), Arc::clone(&report));
                Ok(Latest { report, age: None })
            }
            Err(status) => match status.code() {
                Code::NotFound => {
                    self.is(Standing::Answers);
                    count("live", "not_found", 1);
                    self.cache.invalidate(patient.as_str());
                    Err(no_report())
                }
                // Not from the cache either: what this service may no longer see, it does not show.
                Code::Unauthenticated | Code::PermissionDenied => {
                    self.is(Standing::Refuses);
                    count("none", "misconfigured", 1);
                    Err(refused())
                }
                _ => self.remembered(patient, &status),
            },
        }
    }

    /// Sets the gauges; to be called before each scrape.
    pub fn measure(&self) {
        self.cache.run_pending_tasks();
        metrics::gauge!(ENTRIES.name).set(self.cache.entry_count() as f64);
    }

    fn remembered(&self, patient: &PatientId, status: &Status) -> Result<Latest, Problem> {
        self.is(Standing::Silent);
        let (found, reason) = (self.cache.get(patient.as_str()), outage(status));
        let source = if found.is_some() { "cache" } else { "none" };
        count(source, reason, 1);
        let attributes = [("source", source.to_owned()), ("reason", reason.to_owned())];
        Span::current().add_event("answered without the ePRO service", &attributes);
        let report = found.ok_or_else(|| unavailable(retry_after(status).unwrap_or(RETRY_AFTER)))?;
        Ok(Latest { age: Some(report.answered.elapsed()), report })
    }

    /// Publishes a change of how the ePRO service is.
    fn is(&self, standing: Standing) {
        // Held until it is published, so that the last change is the one that stays.
        let mut now = self.standing.lock();
        if std::mem::replace(&mut *now, standing) == standing {
            return;
        }
        match standing {
            Standing::Answers => self.check.ok(),
            Standing::Silent => {
                self.check.degraded("the ePRO service cannot answer: reports come from the cache")
            }
            Standing::Refuses => {
                self.check.degraded("the ePRO service refuses our API key");
                tracing::warn!(
                    "the ePRO service refuses our API key: check epro.api_key_file and the key's scope"
                );
            }
        }
    }
}

/// Least recently used reports leave first. Every entry weighs at least its share of the bytes, so that one bound holds
/// for both the bytes and the entries.
fn cache(max_entries: u64) -> Cache<String, Arc<Report>> {
    let share = CACHE_BYTES / max_entries;
    let weigh = move |patient: &String, report: &Arc<Report>| {
        let bytes = patient.len() + report.id.len() + report.content.len() + OVERHEAD;
        u32::try_from(share.max(bytes as u64)).unwrap_or(u32::MAX)
    };
    Cache::builder()
        .max_capacity(share * max_entries)
        .weigher(weigh)
        .eviction_policy(EvictionPolicy::lru())
        .eviction_listener(|_, _, cause| {
            if cause == RemovalCause::Size {
                metrics::counter!(EVICTIONS.name).increment(1);
            }
        })
        .build()
}

fn count(source: &'static str, reason: &'static str, by: u64) {
    metrics::counter!(ANSWERS.name, "source" => source, "reason" => reason).increment(by);
}

/// What the ePRO service answered; an answer that the protocol does not allow is an outage.
fn report(message: Option<crate::proto::epro::Report>) -> Result<Report, Status> {
    let crate::proto::epro::Report { report_id, content, submitted_at } =
        message.ok_or_else(|| Status::internal("an answer without a report"))?;
    let submitted_at = jiff::Timestamp::from_second(submitted_at).map(Moment);
    let submitted_at = submitted_at.map_err(|_| Status::internal("a time out of range"))?;
    Ok(Report { id: report_id, content, submitted_at, answered: Instant::now() })
}

/// Why the ePRO service gave no answer: one of [`OUTAGES`].
fn outage(status: &Status) -> &'static str {
    match (Refusal::of(status), status.code()) {
        (Some(Refusal::BreakerOpen), _) => "breaker_open",
        (Some(Refusal::Throttled), _) => "throttled",
        (_, Code::DeadlineExceeded) => "deadline",
        (_, Code::ResourceExhausted) => "refused",
        _ if is_shed(status) => "refused",
        (_, Code::Unavailable | Code::Cancelled | Code::Aborted) => "unavailable",
        _ => "failed",
    }
}

fn no_report() -> Problem {
    Problem::not_found("There is no report of this patient.")
}

fn unavailable(after: Duration) -> Problem {
    Problem::unavailable(
        "epro-unavailable",
        "The ePRO service cannot answer now, and no report of this patient is in the cache.",
    )
    .retry_after(after)
}

/// Nothing that the caller can do anything about.
fn refused() -> Problem {
    let detail =
        "The ePRO service does not accept this service's own API key; its operator has to see to it.";
    Problem::unavailable("epro-refused", detail).retry_after(RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(content: &str) -> Arc<Report> {
        let (id, submitted_at) = ("r".to_owned(), Moment::from_unix_ms(0));
        Arc::new(Report { id, content: content.to_owned(), submitted_at, answered: Instant::now() })
    }

    fn entries(cache: &Cache<String, Arc<Report>>) -> u64 {
        cache.run_pending_tasks();
        cache.entry_count()
    }

    #[test]
    fn the_cache_is_bounded_by_entries_and_by_bytes_and_the_least_recently_used_leave() {
        let few = cache(2);
        for (number, patient) in ["a", "b", "c"].into_iter().enumerate() {
            few.insert(patient.to_owned(), entry("x"));
            assert_eq!(entries(&few), (number as u64 + 1).min(2));
            assert!(few.get("a").is_some(), "used with every step");
        }
        assert!(few.get("b").is_none() && few.get("c").is_some());
        let many = cache(1_000_000);
        let long = entry(&"x".repeat(32 * 1024));
        (0..3_000).for_each(|number| many.insert(number.to_string(), Arc::clone(&long)));
        assert!((1_900..2_048).contains(&entries(&many)), "{}", entries(&many));
    }

    #[test]
    fn an_answer_that_the_protocol_does_not_allow_is_an_outage() {
        let message = |submitted_at| crate::proto::epro::Report { submitted_at, ..Default::default() };
        assert!(report(Some(message(1_795_417_814))).is_ok());
        for broken in [None, Some(message(i64::MAX)), Some(message(i64::MIN))] {
            assert_eq!(report(broken).err().map(|status| outage(&status)), Some("failed"));
        }
    }

    #[test]
    fn every_code_has_a_reason_that_is_counted_from_the_start() {
        for code in (1..=16).map(Code::from) {
            assert!(OUTAGES.contains(&outage(&Status::new(code, ""))), "{code:?}");
        }
        for refusal in [Refusal::BreakerOpen, Refusal::Throttled, Refusal::Deadline, Refusal::NoEndpoint] {
            assert!(OUTAGES.contains(&outage(&refusal.into())), "{refusal:?}");
        }
    }
}
