//! One attempt: its span, the worker's call, what it came to, and how that is committed.

use crate::{
    Answer, Attempt, AttemptRecord, Fact, JobRecord, JobState, Key, Ledger, Outcome, Report, StoreError,
    Worker,
    enqueue::{Hex, json},
    queue::Core,
    retry::{self, Decision},
    store::Tx,
};
use chassis_telemetry::{SpanExt as _, names};
use futures_util::FutureExt as _;
use serde::{Serialize, de::IgnoredAny};
use sqlx::Row as _;
use std::{
    collections::HashSet,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;
use tracing::{Instrument as _, Span};

/// A job of another release's form waits this long for it.
const OTHER_RELEASE: Duration = Duration::from_secs(600);

/// An attempt that has ended, to be committed.
pub(crate) struct Ended {
    pub(crate) job: JobRecord,
    pub(crate) decision: Decision,
    /// What its history keeps.
    record: AttemptRecord,
    provider: &'static str,
    took: Duration,
    /// Due again, or finished.
    at: i64,
    pub(crate) span: Span,
    /// A commit of it was uncertain: it may be stored already.
    pub(crate) doubtful: bool,
    pub(crate) caller: Option<Caller>,
}

/// Whoever waits for an attempt until its end is committed.
pub(crate) struct Caller {
    /// What repeats with the key get.
    pub(crate) answer: Option<(Key, Answer)>,
    /// Tells the caller when it is dropped.
    pub(crate) _told: oneshot::Sender<()>,
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
    last_trace: Option<Hex>,
    reason: Option<&'a str>,
}

impl JobRecord {
    /// A CONSUMER span in the job's trace, linked to the attempt before.
    fn span<W: Worker>(&self, core: &Core<W>) -> Span {
        let span = core.message_span("process", None, self.group, self.channel, self.priority, 1);
        span.continue_from(self.trace);
        self.last_trace.into_iter().for_each(|before| span.link_to(before));
        span.record("job_id", tracing::field::display(self.id));
        span.record("attempt", i64::from(self.spent));
        span
    }

    /// Runs the job once. Its start is committed.
    pub(crate) async fn attempt<W: Worker>(self, core: &Core<W>) -> Ended {
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
        core.worker.run(&job, &Attempt { id, group, batch, channel, priority, number, now }).await
    }

    fn ended<W: Worker>(self, core: &Core<W>, report: Report, began: i64, span: Span) -> Ended {
        let Report { outcome, provider, took } = report;
        let decision = retry::decide(&core.retry, self.spent, self.unknowns, self.sync, &outcome);
        span.record(names::OUTCOME, (core.names.outcome)(decision.outcome));
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
            AttemptRecord { at: began, outcome, provider: provider.to_owned(), duration_ms, receipt };
        Ended { job: self, decision, record, provider, took, at, span, doubtful: false, caller: None }
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
    fn row(&self) -> Result<String, StoreError> {
        let Self { job, decision, .. } = self;
        let context = self.span.trace_context().or(job.last_trace);
        let again = decision.state == JobState::Retrying;
        json(&Row {
            id: job.id.0,
            worker: job.worker,
            state: decision.state as i64,
            at: self.at,
            spent: decision.spent,
            unknowns: decision.unknowns,
            history: job.history_with(&self.record),
            last_trace: context.filter(|_| again).map(|context| Hex(context.to_bytes().to_vec())),
            reason: decision.reason,
        })
    }

    /// Counts and logs an attempt whose end is committed.
    fn tell<W: Worker>(&self, core: &Core<W>) {
        let Self { job, decision, provider, took, .. } = self;
        let JobRecord { channel, priority, .. } = *job;
        let (provider, took, state, outcome) = (*provider, *took, decision.state, decision.outcome);
        // What is counted leads to the attempt's span, not to the commit's.
        let _entered = self.span.enter();
        core.worker.observe(&Fact::Attempted { channel, provider, outcome, took });
        // One that was cut off has no span that its line could lead to; it is counted in the line of the recovery.
        if !self.span.is_none() {
            tracing::info!(
                job_id = %job.id,
                group_id = %job.group,
                channel,
                provider,
                attempt = job.spent,
                outcome = (core.names.outcome)(outcome),
                status = (core.names.state)(state),
                reason = decision.reason,
                duration_ms = took.as_millis() as u64,
                "attempt finished"
            );
        }
        if state.is_final() {
            let lasted = Duration::from_millis((self.at - job.first_due).max(0) as u64);
            let end_to_end = (state == JobState::Completed).then_some(lasted);
            core.worker.observe(&Fact::Finished { channel, priority, state, end_to_end });
        }
    }
}

impl<W: Worker> Core<W> {
    /// Ends attempts in a transaction, with the ledger and the answers to callers. Gives the ids that were still running under the worker that
    /// started them: a lease that ended in between has given the others to somebody else.
    pub(crate) async fn complete(&self, tx: &mut Tx, all: &[Ended]) -> Result<HashSet<i64>, StoreError> {
        const ANSWER: &str = "UPDATE idempotency SET status = $1, body = $2, location = $3 WHERE scope = $4";
        if all.is_empty() {
            return Ok(HashSet::new());
        }
        let rows: Vec<String> = all.iter().map(Ended::row).collect::<Result<_, _>>()?;
        let rows = format!("[{}]", rows.join(","));
        let found = self.sql.complete.query().bind(rows).fetch_all(&mut **tx).await?;
        let found: HashSet<i64> = found.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        for (key, answer) in all.iter().filter_map(|ended| ended.caller.as_ref()?.answer.as_ref()) {
            let query = sqlx::query(ANSWER).bind(i64::from(answer.status)).bind(&answer.body[..]);
            query.bind(answer.location.as_deref()).bind(&key.scope[..]).execute(&mut **tx).await?;
        }
        let mut more = Ledger::default();
        for ended in all.iter().filter(|ended| found.contains(&ended.job.id.0)) {
            more.add(ended.decision.state, 1);
        }
        self.write_ledger(tx, more).await?;
        Ok(found)
    }

    /// Makes committed ends known.
    pub(crate) fn completed(&self, all: Vec<Ended>, found: &HashSet<i64>) {
        let mut finished = 0;
        for ended in all {
            if found.contains(&ended.job.id.0) || ended.doubtful {
                finished += usize::from(ended.decision.state.is_final());
                ended.tell(self);
            } else {
                let _entered = ended.span.enter();
                tracing::warn!(job_id = %ended.job.id, "an attempt's outcome came after its lease had ended, and was dropped");
            }
        }
        self.backlog.finished(finished);
    }
}
