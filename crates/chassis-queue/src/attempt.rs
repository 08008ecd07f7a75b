//! One attempt: its span, the worker's call, what follows from its outcome, and how that is committed.

use crate::{
    Answer, Attempt, AttemptOutcome, AttemptRecord, Fact, JobRecord, JobState, Key, Ledger, OnUnknown,
    Outcome, Report, RetryConfig, Worker, queue::Core, sql::Query, sql::Sql,
};
use chassis_telemetry::{SpanExt as _, names};
use data_encoding::HEXLOWER;
use futures_util::FutureExt as _;
use rand::Rng as _;
use serde::{Serialize, de::IgnoredAny};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{Instrument as _, Span};

/// A job of another release's form waits this long for it.
const OTHER_RELEASE: Duration = Duration::from_secs(600);

/// An attempt that has ended, to be committed.
pub(crate) struct Ended {
    pub(crate) job: JobRecord,
    pub(crate) decision: Decision,
    /// What its history keeps; `None` if its `not_after` passed before the attempt.
    record: Option<AttemptRecord>,
    provider: &'static str,
    took: Duration,
    /// Due again, or finished.
    at: i64,
    pub(crate) span: Span,
    /// A commit of it was uncertain: it may be stored already.
    pub(crate) doubtful: bool,
    /// What repeats of the caller's key get.
    pub(crate) answer: Option<(Key, Answer)>,
    /// Tells a caller that waits, when it is dropped.
    pub(crate) told: Option<oneshot::Sender<()>>,
}

impl JobRecord {
    /// A CONSUMER span in the job's trace, linked to the attempt before.
    fn span<W: Worker>(&self, core: &Core<W>) -> Span {
        let span = core.message_span("process", None, self.group, self.channel, self.priority, 1);
        span.continue_from(self.trace);
        self.last_trace.into_iter().for_each(|before| span.link_to(before));
        span.record("attempt", i64::from(self.spent));
        span
    }

    /// Runs the job once, unless its `not_after` has passed. Its start is committed.
    pub(crate) async fn attempt<W: Worker>(self, core: &Core<W>) -> Ended {
        if self.not_after < core.store.now_ms() {
            return self.expired(core);
        }
        let span = self.span(core);
        let (began, started) = (core.store.now_ms(), Instant::now());
        let run = AssertUnwindSafe(self.run(core)).catch_unwind().instrument(span.clone());
        // A panic has been reported by the panic hook; whether the job took effect is not known.
        let unknown = |_| undone(Outcome::Unknown { reason: "panic" }, started.elapsed());
        let report = run.await.unwrap_or_else(unknown);
        self.ended(core, report, began, span)
    }

    async fn run<W: Worker>(&self, core: &Core<W>) -> Report {
        let job: W::Job = match serde_json::from_str(&self.payload) {
            Ok(job) => job,
            Err(error) if serde_json::from_str::<IgnoredAny>(&self.payload).is_ok() => {
                tracing::error!(job_id = %self.id, column = error.column(), "a job of another release's form waits for it");
                let after = Some(OTHER_RELEASE);
                return undone(Outcome::Snooze { reason: "other_release", after }, Duration::ZERO);
            }
            Err(_) => {
                tracing::error!(job_id = %self.id, "a job is damaged");
                return undone(Outcome::Failed { reason: "damaged" }, Duration::ZERO);
            }
        };
        let Self { id, group, batch, channel, priority, spent: number, sync: now, .. } = *self;
        core.setup.worker.run(&job, &Attempt { id, group, batch, channel, priority, number, now }).await
    }

    fn ended<W: Worker>(self, core: &Core<W>, report: Report, began: i64, span: Span) -> Ended {
        let Report { outcome, provider, took } = report;
        let decision = decide(&core.setup.retry, self.spent, self.unknowns, self.sync, &outcome);
        span.record(names::OUTCOME, (core.setup.names.outcome)(decision.outcome));
        if decision.state != JobState::Completed {
            span.record(names::OTEL_STATUS_CODE, "ERROR");
        }
        let (steady, wall) = (core.store.steady_ms(), core.store.now_ms());
        // A retry after the deadline would only expire: it does so on time.
        let left = self.not_after.saturating_add(1).saturating_sub(wall).max(0);
        let again = steady + (decision.delay.as_millis() as i64).min(left);
        let at = if decision.state == JobState::Retrying { again } else { wall };
        let receipt = if let Outcome::Completed { receipt } = outcome { receipt } else { None };
        let (outcome, duration_ms) = (decision.outcome, took.as_millis() as i64);
        let record =
            Some(AttemptRecord { at: began, outcome, provider: provider.to_owned(), duration_ms, receipt });
        let (doubtful, answer, told) = (false, None, None);
        Ended { job: self, decision, record, provider, took, at, span, doubtful, answer, told }
    }

    fn expired<W: Worker>(self, core: &Core<W>) -> Ended {
        let (at, spent) = (core.store.now_ms(), self.spent.saturating_sub(1));
        let (span, report) = (self.span(core), undone(Outcome::Failed { reason: "expired" }, Duration::ZERO));
        let mut ended = self.ended(core, report, at, span);
        ended.record = None;
        ended.decision = Decision { state: JobState::Expired, spent, reason: None, ..ended.decision };
        ended
    }

    /// The attempt was cut off by the end of its process: whether the job took effect is not known. It has waited
    /// long enough.
    pub(crate) fn interrupted<W: Worker>(self, core: &Core<W>) -> Ended {
        let began = self.at;
        let report = undone(Outcome::Unknown { reason: "interrupted" }, Duration::ZERO);
        let ended = self.ended(core, report, began, Span::none());
        Ended { at: core.store.steady_ms(), ..ended }
    }
}

fn undone(outcome: Outcome, took: Duration) -> Report {
    Report { outcome, provider: "none", took }
}

impl Ended {
    /// Counts and logs an attempt whose end is committed.
    fn tell<W: Worker>(&self, core: &Core<W>) {
        let Self { job, decision, provider, took, .. } = self;
        let JobRecord { channel, priority, .. } = *job;
        let (provider, took, state, outcome) = (*provider, *took, decision.state, decision.outcome);
        // What is counted leads to the attempt's span, not to the commit's.
        let _entered = self.span.enter();
        if self.record.is_some() {
            core.setup.worker.observe(&Fact::Attempted { channel, provider, outcome, took });
        }
        // One that was cut off has no span that its line could lead to; it is counted in the line of the recovery.
        if !self.span.is_none() {
            tracing::info!(
                job_id = %job.id, group_id = %job.group, channel, provider, attempt = job.spent,
                outcome = (core.setup.names.outcome)(outcome),
                status = (core.setup.names.state)(state),
                reason = decision.reason,
                duration_ms = took.as_millis() as u64,
                "attempt finished"
            );
        }
        if state == JobState::Failed {
            let reason = decision.reason;
            tracing::warn!(job_id = %job.id, group_id = %job.group, channel, reason, "a job failed and waits for a person");
        }
        if state.is_final() {
            let lasted = Duration::from_millis((self.at - job.first_due).max(0) as u64);
            let end_to_end = (state == JobState::Completed).then_some(lasted);
            core.setup.worker.observe(&Fact::Finished { channel, priority, state, end_to_end });
        }
    }
}

impl<W: Worker> Core<W> {
    /// A query that ends attempts, with its first values.
    pub(crate) fn ending(&self, sql: &Sql, all: &[Ended]) -> Query<'static> {
        let mut more = Ledger::default();
        all.iter().for_each(|ended| more.add(ended.decision.state, 1));
        let query = sql.query().bind(rows(all)).bind(all.len() as i64).bind(more.completed);
        query.bind(more.failed).bind(more.expired).bind(more.unknown)
    }

    /// Takes attempts whose end is committed from the backlog, and counts and logs them in a task of its own, so that the
    /// next commit does not wait for that.
    pub(crate) fn completed(self: &Arc<Self>, all: Vec<Ended>) -> JoinHandle<()> {
        self.backlog.finished(all.iter().filter(|ended| ended.decision.state.is_final()).count());
        let core = Arc::clone(self);
        #[expect(clippy::disallowed_methods, reason = "each line is written in its attempt's span")]
        tokio::spawn(async move { all.iter().for_each(|ended| ended.tell(&core)) })
    }
}

/// An attempt's end, as `sql` takes it.
#[derive(Serialize)]
struct Row<'a> {
    id: i64,
    worker: i64,
    state: i64,
    at: i64,
    spent: u32,
    unknowns: u32,
    history: String,
    last_trace: Option<String>,
    reason: Option<&'static str>,
    #[serde(flatten)]
    key: Option<&'a Key>,
    #[serde(flatten)]
    answer: Option<&'a Answer>,
}

impl<'a> Row<'a> {
    fn new(Ended { job, decision, record, at, span, answer, .. }: &'a Ended) -> Self {
        let again = Some(span).filter(|_| decision.state == JobState::Retrying);
        let last = again.and_then(|span| span.trace_context().or(job.last_trace));
        Self {
            id: job.id.0,
            worker: job.worker,
            state: decision.state as i64,
            at: *at,
            spent: decision.spent,
            unknowns: decision.unknowns,
            history: job.history_with(record.as_ref()),
            last_trace: last.map(|last| HEXLOWER.encode(&last.to_bytes())),
            reason: decision.reason,
            key: answer.as_ref().map(|(key, _)| key),
            answer: answer.as_ref().map(|(_, answer)| answer),
        }
    }
}

pub(crate) fn rows(all: &[Ended]) -> String {
    let rows: Vec<Row<'_>> = all.iter().map(Row::new).collect();
    serde_json::to_string(&rows).unwrap_or_default()
}

/// A provider's wish to wait is honoured up to this.
const LONGEST_WISH: Duration = Duration::from_secs(3600);

/// What is stored of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) state: JobState,
    /// In how long the job is due again, if its state is not final.
    pub(crate) delay: Duration,
    /// Spent attempts, and attempts of unknown outcome.
    pub(crate) spent: u32,
    pub(crate) unknowns: u32,
    pub(crate) outcome: AttemptOutcome,
    pub(crate) reason: Option<&'static str>,
}

/// Decides after an attempt. `spent` counts it already, `unknowns` does not; with `sync` the caller waits, and nothing
/// is retried.
fn decide(config: &RetryConfig, spent: u32, unknowns: u32, sync: bool, outcome: &Outcome) -> Decision {
    use JobState::{Completed, Failed, Retrying, Unknown};
    let (ended, delay) = (Duration::ZERO, |after: Option<Duration>, attempt| {
        after.map_or_else(|| backoff(config, attempt), |after| after.min(LONGEST_WISH))
    });
    let (last, hold) = (spent >= config.max_attempts, config.on_unknown == OnUnknown::Hold);
    let (state, became, reason, delay) = match *outcome {
        Outcome::Completed { .. } => (Completed, AttemptOutcome::Completed, None, ended),
        Outcome::Failed { reason } => (Failed, AttemptOutcome::Failed, Some(reason), ended),
        Outcome::Unknown { reason } if sync || hold || last || unknowns >= config.max_unknown => {
            (Unknown, AttemptOutcome::Unknown, Some(reason), ended)
        }
        Outcome::Unknown { reason } => (Retrying, AttemptOutcome::Unknown, Some(reason), delay(None, spent)),
        Outcome::Retry { reason, .. } if sync || last => {
            (Failed, AttemptOutcome::Failed, Some(reason), ended)
        }
        Outcome::Retry { reason, after } => {
            (Retrying, AttemptOutcome::Retry, Some(reason), delay(after, spent))
        }
        Outcome::Snooze { reason, .. } if sync => (Failed, AttemptOutcome::Failed, Some(reason), ended),
        Outcome::Snooze { reason, after } => {
            (Retrying, AttemptOutcome::Snoozed, Some(reason), delay(after, 1))
        }
    };
    let spent = spent.saturating_sub(u32::from(became == AttemptOutcome::Snoozed));
    let unknowns = unknowns + u32::from(matches!(outcome, Outcome::Unknown { .. }));
    Decision { state, delay, spent, unknowns, outcome: became, reason }
}

/// Exponential backoff with full jitter: uniform in 0 … min(max, base × 2^(attempt − 1)).
/// Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).
fn backoff(config: &RetryConfig, attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    let ceiling = config.base_delay.saturating_mul(1 << doublings).min(config.max_delay);
    Duration::from_millis(rand::rng().random_range(0..=ceiling.as_millis() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RETRY: Outcome = Outcome::Retry { reason: "r", after: None };
    const UNKNOWN: Outcome = Outcome::Unknown { reason: "u" };

    fn config(on_unknown: OnUnknown) -> RetryConfig {
        RetryConfig {
            max_attempts: 4,
            base_delay: Duration::from_secs(5),
            max_delay: Duration::from_secs(3600),
            on_unknown,
            max_unknown: 2,
        }
    }

    fn after(spent: u32, unknowns: u32, sync: bool, outcome: &Outcome) -> (JobState, AttemptOutcome, u32) {
        let decision = decide(&config(OnUnknown::Retry), spent, unknowns, sync, outcome);
        (decision.state, decision.outcome, decision.spent)
    }

    #[test]
    fn retries_end_with_the_maximum_and_snoozes_never() {
        assert_eq!(after(3, 0, false, &RETRY), (JobState::Retrying, AttemptOutcome::Retry, 3));
        assert_eq!(after(4, 0, false, &RETRY), (JobState::Failed, AttemptOutcome::Failed, 4));
        let snooze = Outcome::Snooze { reason: "s", after: None };
        assert_eq!(after(4, 0, false, &snooze), (JobState::Retrying, AttemptOutcome::Snoozed, 3));
    }

    #[test]
    fn an_unknown_outcome_is_repeated_as_often_as_allowed_and_then_waits_for_a_person() {
        assert_eq!(after(1, 0, false, &UNKNOWN), (JobState::Retrying, AttemptOutcome::Unknown, 1));
        assert_eq!(after(3, 2, false, &UNKNOWN), (JobState::Unknown, AttemptOutcome::Unknown, 3));
        assert_eq!(after(4, 1, false, &UNKNOWN), (JobState::Unknown, AttemptOutcome::Unknown, 4));
        let held = decide(&config(OnUnknown::Hold), 1, 0, false, &UNKNOWN);
        assert_eq!((held.state, held.unknowns), (JobState::Unknown, 1));
    }

    #[test]
    fn nothing_is_retried_while_the_caller_waits() {
        let snooze = Outcome::Snooze { reason: "s", after: None };
        for outcome in [&RETRY, &snooze, &Outcome::Failed { reason: "f" }] {
            assert_eq!(after(1, 0, true, outcome).0, JobState::Failed);
        }
        assert_eq!(after(1, 0, true, &UNKNOWN).0, JobState::Unknown);
    }

    proptest! {
        #[test]
        fn delays_are_bounded_and_a_providers_wish_wins(attempt in 1u32..5000, wish in 0u64..100_000) {
            let config = config(OnUnknown::Retry);
            prop_assert!(backoff(&config, attempt) <= config.max_delay);
            prop_assert!(attempt > 1 || backoff(&config, attempt) <= config.base_delay);
            let outcome = Outcome::Retry { reason: "r", after: Some(Duration::from_secs(wish)) };
            let decision = decide(&config, 1, 0, false, &outcome);
            prop_assert_eq!(decision.delay, Duration::from_secs(wish.min(3600)));
        }
    }
}
