//! One attempt: its span, the worker's call, what it came to, and how that is committed.

use crate::{
    Attempt, AttemptRecord, Fact, JobId, JobState, Outcome, Priority, Report, StoreError, Worker,
    enqueue::push_hex,
    metrics::Ledger,
    queue::Core,
    retry::{self, Decision, Made},
    schema::code,
    store::Tx,
};
use chassis_telemetry::{SpanExt as _, TraceContext, names};
use futures_util::FutureExt as _;
use serde::de::IgnoredAny;
use sqlx::{Row as _, any::AnyRow};
use std::{
    collections::HashSet,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};
use tracing::{Instrument as _, Span, field::Empty};

/// A job of another release's form waits this long for it.
const OTHER_RELEASE: Duration = Duration::from_secs(600);

/// A job whose attempt has started: the start is committed.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    pub(crate) id: JobId,
    pub(crate) group: JobId,
    pub(crate) batch: Option<JobId>,
    pub(crate) channel: &'static str,
    pub(crate) priority: Priority,
    pub(crate) state: i64,
    /// With this attempt.
    pub(crate) spent: u32,
    /// Before this attempt.
    pub(crate) unknowns: u32,
    pub(crate) sync: bool,
    pub(crate) first_due: i64,
    pub(crate) not_after: i64,
    /// The process that started it.
    pub(crate) worker: i64,
    pub(crate) trace: TraceContext,
    pub(crate) last_trace: Option<TraceContext>,
    pub(crate) history: String,
    pub(crate) payload: String,
}

/// An attempt that has ended, to be committed.
pub(crate) struct Ended {
    pub(crate) job: Started,
    pub(crate) decision: Decision,
    provider: &'static str,
    took: Duration,
    receipt: Option<String>,
    /// Unix ms.
    began: i64,
    /// Due again, or finished.
    at: i64,
    pub(crate) span: Span,
    /// A commit of it was uncertain: it may be stored already.
    pub(crate) doubtful: bool,
}

impl Started {
    /// Reads the columns that `sql` gives of a started job.
    pub(crate) fn read<W: Worker>(core: &Core<W>, row: &AnyRow) -> Result<Self, StoreError> {
        let id: i64 = row.try_get(0)?;
        let trace = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| TraceContext::from_bytes(&bytes));
        let batch: i64 = row.try_get(2)?;
        Ok(Self {
            id: JobId(id),
            group: JobId(id - row.try_get::<i64, _>(1)?),
            batch: (batch != 0).then_some(JobId(batch)),
            channel: core.channel(row.try_get(3)?)?,
            priority: Priority::from_stored(row.try_get(4)?)?,
            state: row.try_get(5)?,
            spent: row.try_get::<i64, _>(6)? as u32,
            unknowns: row.try_get::<i64, _>(7)? as u32,
            first_due: row.try_get(8)?,
            not_after: row.try_get(9)?,
            worker: row.try_get(10)?,
            trace: trace(row.try_get(11)?).unwrap_or_else(TraceContext::new_root),
            last_trace: trace(row.try_get(12)?),
            history: row.try_get(13)?,
            payload: row.try_get(14)?,
            sync: false,
        })
    }

    /// A CONSUMER span in the job's trace, linked to the attempt before.
    fn span<W: Worker>(&self, core: &Core<W>) -> Span {
        let span = tracing::info_span!(
            "process",
            otel.name = format_args!("process {}", core.names.destination),
            otel.kind = "consumer",
            otel.status_code = Empty,
            messaging.system = core.names.system,
            messaging.operation.name = "process",
            messaging.operation.type = "process",
            messaging.destination.name = core.names.destination,
            messaging.message.id = %self.group,
            job_id = %self.id,
            attempt = self.spent,
            priority = self.priority.as_str(),
            channel = self.channel,
            outcome = Empty,
        );
        span.continue_from(self.trace);
        if let Some(before) = self.last_trace {
            span.link_to(before);
        }
        span
    }

    /// Runs the job once.
    pub(crate) async fn attempt<W: Worker>(self, core: &Core<W>) -> Ended {
        let span = self.span(core);
        let busy = core.metrics.busy.get(core.channel_index(self.channel));
        busy.inspect(|gauge| gauge.increment(1.0));
        let (began, started) = (core.store.now_ms(), Instant::now());
        let run = AssertUnwindSafe(self.run(core)).catch_unwind().instrument(span.clone());
        // A panic has been reported by the panic hook; whether the job took effect is not known.
        let report = run.await.unwrap_or_else(|_| Report {
            outcome: Outcome::Unknown { reason: "panic" },
            provider: "none",
            took: started.elapsed(),
        });
        busy.inspect(|gauge| gauge.decrement(1.0));
        let made = Made { spent: self.spent, unknowns: self.unknowns, sync: self.sync };
        let decision = retry::decide(&core.retry, made, &report.outcome);
        self.ended(core, report, decision, began, span)
    }

    async fn run<W: Worker>(&self, core: &Core<W>) -> Report {
        let undone = |outcome| Report { outcome, provider: "none", took: Duration::ZERO };
        let job: W::Job = match serde_json::from_str(&self.payload) {
            Ok(job) => job,
            Err(error) if serde_json::from_str::<IgnoredAny>(&self.payload).is_ok() => {
                tracing::error!(job_id = %self.id, line = error.line(), "a job of another release's form waits for it");
                return undone(Outcome::Snooze { reason: "other_release", after: Some(OTHER_RELEASE) });
            }
            Err(_) => {
                tracing::error!(job_id = %self.id, "a job is damaged");
                return undone(Outcome::Failed { reason: "damaged" });
            }
        };
        let attempt = Attempt {
            id: self.id,
            group: self.group,
            batch: self.batch,
            channel: self.channel,
            priority: self.priority,
            number: self.spent,
            now: self.sync,
        };
        core.worker.run(&job, &attempt).await
    }

    fn ended<W: Worker>(
        self,
        core: &Core<W>,
        report: Report,
        decision: Decision,
        began: i64,
        span: Span,
    ) -> Ended {
        span.record(names::OUTCOME, (core.names.outcome)(decision.outcome));
        if decision.state != JobState::Completed {
            span.record(names::OTEL_STATUS_CODE, "ERROR");
        }
        let (steady, wall) = (core.store.steady_ms(), core.store.now_ms());
        // A retry after the deadline would only expire: it does so on time.
        let left = self.not_after.saturating_add(1).saturating_sub(wall).max(0);
        let again = steady + (decision.delay.as_millis() as i64).min(left);
        let receipt = match report.outcome {
            Outcome::Completed { receipt } => receipt,
            _ => None,
        };
        Ended {
            at: if decision.state == JobState::Retrying { again } else { wall },
            job: self,
            decision,
            provider: report.provider,
            took: report.took,
            receipt,
            began,
            span,
            doubtful: false,
        }
    }

    /// The attempt was cut off by the end of its process: whether the job took effect is not known.
    pub(crate) fn interrupted<W: Worker>(mut self, core: &Core<W>, sync: bool, began: i64) -> Ended {
        const INTERRUPTED: Outcome = Outcome::Unknown { reason: "interrupted" };
        self.sync = sync;
        let made = Made { spent: self.spent, unknowns: self.unknowns, sync };
        // It has waited long enough.
        let decision = Decision { delay: Duration::ZERO, ..retry::decide(&core.retry, made, &INTERRUPTED) };
        let report = Report { outcome: INTERRUPTED, provider: "none", took: Duration::ZERO };
        self.ended(core, report, decision, began, Span::none())
    }
}

impl Ended {
    /// Writes the row that `sql` ends an attempt with.
    fn write(&self, out: &mut String) {
        let Self { job, decision, .. } = self;
        let record = AttemptRecord {
            at: self.began,
            outcome: decision.outcome,
            provider: self.provider.to_owned(),
            duration_ms: self.took.as_millis() as i64,
            receipt: self.receipt.clone(),
        };
        let row = serde_json::json!([
            job.id.0,
            job.worker,
            decision.state.code(),
            self.at,
            decision.spent,
            decision.unknowns,
            record.append_to(&job.history),
        ]);
        let mut row = row.to_string();
        row.pop();
        row.push(',');
        match self.span.trace_context().or(job.last_trace).filter(|_| decision.state == JobState::Retrying) {
            Some(context) => push_hex(&mut row, &context.to_bytes()),
            None => row.push_str("null"),
        }
        row.push_str(&format!(",{}]", serde_json::json!(decision.reason)));
        out.push_str(if out.is_empty() { "" } else { "," });
        out.push_str(&row);
    }

    /// Counts and logs an attempt whose end is committed.
    pub(crate) fn tell<W: Worker>(&self, core: &Core<W>) {
        let Self { job, decision, provider, took, .. } = self;
        let (channel, priority, provider, took, state) =
            (job.channel, job.priority, *provider, *took, decision.state);
        core.worker.observe(&Fact::Attempted { channel, provider, outcome: decision.outcome, took });
        self.span.in_scope(|| {
            tracing::info!(
                job_id = %job.id,
                group_id = %job.group,
                channel,
                provider,
                attempt = job.spent,
                outcome = (core.names.outcome)(decision.outcome),
                status = (core.names.state)(state),
                reason = decision.reason,
                duration_ms = took.as_millis() as u64,
                "attempt finished"
            );
        });
        if state.is_final() {
            let lasted = Duration::from_millis((self.at - job.first_due).max(0) as u64);
            let end_to_end = (state == JobState::Completed).then_some(lasted);
            core.worker.observe(&Fact::Finished { channel, priority, state, end_to_end });
        }
    }
}

impl<W: Worker> Core<W> {
    /// Ends attempts in a transaction, with the ledger. Gives the ids that were still running under the worker that
    /// started them: a lease that ended in between has given the others to somebody else.
    pub(crate) async fn complete(
        &self,
        tx: &mut Tx,
        slot: i64,
        all: &[Ended],
    ) -> Result<HashSet<i64>, StoreError> {
        if all.is_empty() {
            return Ok(HashSet::new());
        }
        let mut rows = String::new();
        all.iter().for_each(|ended| ended.write(&mut rows));
        let found = self.sql.complete.query().bind(format!("[{rows}]")).fetch_all(&mut **tx).await?;
        let found: HashSet<i64> = found.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let mut more = Ledger::default();
        for ended in all.iter().filter(|ended| found.contains(&ended.job.id.0)) {
            more.add(ended.decision.state, 1);
        }
        self.write_ledger(tx, slot, &more).await?;
        Ok(found)
    }

    /// Makes committed ends known.
    pub(crate) fn completed(&self, all: Vec<Ended>, found: &HashSet<i64>) {
        let mut finished = 0;
        for ended in all {
            self.in_hand.lock().remove(&ended.job.id.0);
            if found.contains(&ended.job.id.0) || ended.doubtful {
                finished += usize::from(ended.decision.state.is_final());
                ended.tell(self);
            } else {
                let job_id = ended.job.id;
                ended.span.in_scope(|| {
                    tracing::warn!(%job_id, "an attempt's outcome came after its lease had ended, and was dropped");
                });
            }
        }
        self.backlog.finished(finished);
    }

    /// A job that ran out of time before an attempt.
    pub(crate) fn expired(&self, job: &Started) {
        let (channel, priority) = (job.channel, job.priority);
        debug_assert_eq!(job.state, code::EXPIRED);
        self.worker.observe(&Fact::Finished {
            channel,
            priority,
            state: JobState::Expired,
            end_to_end: None,
        });
        self.backlog.finished(1);
    }
}
