//! One attempt: its span, the domain's call, and the commit of what it came to.

use super::{
    Attempt, Fact, Inner, Job, Outcome, Queue, Status, Submission,
    lanes::Ready,
    places::Place,
    retry::{self, Decision},
    sql::{
        attempt::{self, Ended},
        read,
    },
};
use crate::platform::{
    store::{Operation, Purpose, WriteError},
    telemetry::{SpanExt, names},
    time::now_ms,
};
use futures_util::FutureExt;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tracing::{Instrument, Span};

/// Pauses between tries to commit an attempt's end while the store can't.
const COMMIT_AGAIN: Duration = Duration::from_millis(500);

/// Attempts a job that has begun, and commits what it came to. Ends with that commit.
pub(super) async fn deliver(queue: Queue, job: Ready, place: Place) {
    let span = consumer_span(&job);
    let inner = Arc::clone(&queue.inner);
    async {
        let (attempt, began) = attempt(&inner, &job).await;
        let decision = retry::decide(&inner.config.retry, job.spent + 1, &attempt.outcome);
        // The worker is free for the next delivery as soon as this one's end is in the committer's
        // hands; how many may be on their way is bounded.
        let unfinished = inner.unfinished.acquire().await;
        drop(place);
        inner.wake.notify_one();
        complete(&queue, &job, attempt, began, decision).await;
        drop(unfinished);
    }
    .instrument(span)
    .await;
}

/// Attempts the committed jobs of a synchronous submission, all at once, and commits what they came to
/// and the answer that a repeat of the call gets.
pub(super) async fn attempt_now(queue: &Queue, jobs: &[Ready], submission: &Submission) -> Vec<Status> {
    let attempts = jobs.iter().map(|job| {
        let span = consumer_span(job);
        async move {
            let (attempt, began) = attempt(&queue.inner, job).await;
            let decision = retry::decide_now(&attempt.outcome);
            let status = decision.status;
            complete(queue, job, attempt, began, decision).await;
            status
        }
        .instrument(span)
    });
    let statuses = futures_util::future::join_all(attempts).await;
    if let Some(key) = submission.idempotency.clone() {
        let (id, answer) = (submission.id, submission.answer);
        let write = queue.inner.store.write(Purpose::of(Operation::Complete), move |tx| {
            let statuses = read::statuses(tx, id)?;
            key.answered(tx, &answer(id, &statuses))
        });
        if let Err(error) = write.await {
            // A repeat then gets the same answer from the jobs' states.
            tracing::warn!(%error, "the answer for repeats was not kept");
        }
    }
    statuses
}

/// A job's attempt is a CONSUMER span in the notification's trace; a retry's is linked to the one before.
fn consumer_span(job: &Ready) -> Span {
    let span = tracing::info_span!(
        "process notifications",
        otel.kind = "consumer",
        otel.status_code = tracing::field::Empty,
        messaging.system = names::QUEUE_SYSTEM,
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = names::QUEUE_DESTINATION,
        messaging.message.id = %job.notification,
        job_id = %job.id,
        attempt = job.spent + 1,
        priority = job.priority.as_str(),
        channel = job.channel,
        outcome = tracing::field::Empty,
    );
    span.continue_from(job.trace);
    if let Some(before) = job.last_attempt {
        span.link_to(before);
    }
    span
}

async fn attempt(inner: &Inner, job: &Ready) -> (Attempt, i64) {
    let _busy = inner.metrics.work();
    let began = now_ms();
    let started = std::time::Instant::now();
    let job = Job {
        id: job.id,
        notification: job.notification,
        channel: job.channel,
        priority: job.priority,
        attempt: job.spent + 1,
        payload: Arc::clone(&job.payload),
    };
    // A panic has been logged by the panic hook; whether anything was sent is not known.
    let attempt = AssertUnwindSafe(inner.handler.attempt(&job)).catch_unwind().await.unwrap_or_else(|_| {
        Attempt { outcome: Outcome::Unknown { reason: "panic" }, provider: "none", took: started.elapsed() }
    });
    (attempt, began)
}

/// Commits an attempt's end, however long the store takes to come back, and only then counts and logs it.
async fn complete(queue: &Queue, job: &Ready, attempt: Attempt, began: i64, decision: Decision) {
    let span = Span::current();
    span.record(names::OUTCOME, decision.outcome);
    if decision.outcome != "delivered" {
        span.record(names::OTEL_STATUS_CODE, "ERROR");
    }
    let trace = span.trace_context();
    let ended = ended(job, &attempt, began, &decision, trace);
    loop {
        let purpose = Purpose { operation: Operation::Complete, rows: 1, trace };
        let (kept, known, result) = (queue.clone(), job.clone(), ended.clone());
        let then = move |written: Result<&(), &WriteError>| {
            if written.is_ok() {
                kept.inner.completed(&known, &result);
            }
        };
        let write = ended.clone();
        match queue.inner.store.write_then(purpose, move |tx| attempt::complete(tx, &write), then).await {
            Ok(_) => break,
            Err(error) => {
                tracing::warn!(%error, "an attempt's end is not committed yet; trying again");
                tokio::time::sleep(COMMIT_AGAIN).await;
            }
        }
    }
    report(&queue.inner, job, &attempt, &ended);
}

fn ended(
    job: &Ready,
    attempt: &Attempt,
    began: i64,
    decision: &Decision,
    trace: Option<crate::platform::telemetry::TraceContext>,
) -> Ended {
    let now = now_ms();
    // A retry after the deadline would only expire: it does so on time.
    let again = (now + decision.delay.as_millis() as i64).min(job.not_after.saturating_add(1).max(now));
    Ended {
        id: job.id,
        began,
        spent: job.spent + u32::from(decision.spent),
        at: if decision.status == Status::Retrying { again } else { now },
        decision: decision.clone(),
        provider: attempt.provider,
        ms: attempt.took.as_millis() as i64,
        trace,
    }
}

/// Counts and logs an attempt whose end is committed.
fn report(inner: &Inner, job: &Ready, attempt: &Attempt, ended: &Ended) {
    let decision = &ended.decision;
    let (channel, provider, outcome) = (job.channel, attempt.provider, decision.outcome);
    inner.handler.observe(&Fact::Attempted { channel, provider, outcome, took: attempt.took });
    tracing::info!(
        job_id = %job.id,
        notification_id = %job.notification,
        channel,
        provider,
        attempt = job.spent + 1,
        outcome,
        status = decision.status.as_str(),
        reason = decision.reason,
        duration_ms = ended.ms,
        "attempt finished"
    );
    if attempt::finished_as(decision.status).is_some() {
        let delivered = decision.status == Status::Delivered;
        let lasted = Duration::from_millis((ended.at - job.first_due).max(0) as u64);
        let (priority, status) = (job.priority, decision.status);
        let end_to_end = delivered.then_some(lasted);
        inner.handler.observe(&Fact::Finished { channel, priority, status, end_to_end });
    }
}

impl Inner {
    /// Makes an attempt's end known: runs in the order of the commits.
    fn completed(&self, job: &Ready, ended: &Ended) {
        let mut state = self.state.lock();
        let retries = ended.decision.status == Status::Retrying;
        let waits = retries && ended.at > state.due_until;
        state.book.ended(waits);
        state.lanes.release(job.id);
        if !retries {
            state.book.finished(job.priority, job.first_due, job.id);
        } else if waits {
            state.next_due = Some(state.next_due.map_or(ended.at, |at| at.min(ended.at)));
        } else {
            state.lanes.spilled(job.priority);
        }
        drop(state);
        self.wake.notify_one();
    }
}
