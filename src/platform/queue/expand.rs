//! The background task that turns batches into jobs: a chunk a commit, between everybody else's commits.
//! Jobs are inserted and their chunk is deleted in one transaction: no crash loses or repeats one.

use super::{
    JobId, Queue,
    batch::Payloads,
    lanes::Ready,
    pending::Pending,
    sql::{
        self, NewJob,
        batch::{self, Shared, Stored},
    },
};
use crate::platform::{
    store::{Operation, Purpose, StoreError, Tx, WriteError},
    telemetry::{SpanExt, TraceContext, names},
    time::now_ms,
};
use std::{sync::Arc, time::Duration};
use tracing::{Instrument, Span, field::Empty};

/// Chunks read at once.
const READ: usize = 8;
/// Between two chunks, so that callers' commits and deliveries come between: some 5,000 jobs a second,
/// which is faster than the workers of most gateways, and slow enough to be felt by nobody.
const BREATH: Duration = Duration::from_millis(20);
/// After a store that could not be read or written.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a batch of another release waits before it is looked at again, in milliseconds.
const OTHER_RELEASE_MS: i64 = 600_000;
/// Without a sign of work, should the clock have been set.
const LOOK: Duration = Duration::from_secs(60);
/// Spans made before the runtime has its turn.
const TURN: usize = 32;

/// Why a batch does not go on now.
enum Held {
    /// The store can't be used, or has changed under us.
    Store(String),
    /// The domain can't read it.
    Unreadable,
}

/// Runs until the queue is stopped.
pub(super) async fn run(queue: Queue) {
    while let Some(next) = next(&queue).await {
        let Err(held) = some_chunks(&queue, next).await else { continue };
        match held {
            Held::Store(reason) => {
                tracing::warn!(batch_id = %next.id, reason, "a batch could not be expanded; trying again");
                pause(&queue, AGAIN).await;
            }
            Held::Unreadable => {
                tracing::error!(batch_id = %next.id, "a batch that this release cannot read waits for another");
                queue.inner.state.lock().batches.put_off(next.id, now_ms() + OTHER_RELEASE_MS);
            }
        }
    }
}

/// The batch to go on with, once there is one; `None` once the queue is stopped.
async fn next(queue: &Queue) -> Option<Pending> {
    loop {
        if queue.inner.stop.is_cancelled() {
            return None;
        }
        let next = {
            let state = queue.inner.state.lock();
            state.batches.next(state.due_until, now_ms())
        };
        if next.is_some() {
            return next;
        }
        tokio::select! {
            () = queue.inner.unexpanded.notified() => {}
            () = pause(queue, LOOK) => {}
        }
    }
}

async fn pause(queue: &Queue, time: Duration) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = queue.inner.stop.cancelled() => {}
    }
}

/// Expands a few chunks, under a span in the trace of the request that was accepted.
async fn some_chunks(queue: &Queue, next: Pending) -> Result<(), Held> {
    let channels = queue.inner.channels;
    let read = move |tx: &mut Tx<'_>| batch::next(tx, next.id, READ, channels);
    let found =
        queue.inner.store.read("read batch", read).await.map_err(|error| Held::Store(error.to_string()))?;
    let Some((shared, chunks)) = found.filter(|(_, chunks)| !chunks.is_empty()) else {
        doubt(queue);
        return Err(Held::Store("its chunks are not there".to_owned()));
    };
    let span = tracing::info_span!(
        "expand batch",
        otel.kind = "internal",
        batch_id = %shared.id,
        messaging.batch.message_count = chunks.iter().map(|chunk| chunk.jobs).sum::<usize>() as i64,
    );
    span.continue_from(shared.trace);
    let shared = Arc::new(shared);
    async {
        for chunk in chunks {
            one_chunk(queue, &shared, chunk).await?;
            if !queue.inner.state.lock().batches.contains(shared.id) {
                let duration_ms = now_ms() - shared.first_due;
                tracing::info!(batch_id = %shared.id, jobs = shared.jobs, duration_ms, "batch expanded");
                break;
            }
            pause(queue, BREATH).await;
            if queue.inner.stop.is_cancelled() {
                break;
            }
        }
        Ok(())
    }
    .instrument(span)
    .await
}

fn doubt(queue: &Queue) {
    queue.inner.state.lock().doubt();
    queue.inner.wake.notify_one();
}

/// Commits a chunk's jobs in its place.
async fn one_chunk(queue: &Queue, shared: &Arc<Shared>, chunk: Stored) -> Result<(), Held> {
    let notifications = queue.inner.handler.expand(&shared.template, &chunk.members).unwrap_or_default();
    if notifications.iter().map(Vec::len).sum::<usize>() != chunk.jobs {
        return Err(Held::Unreadable);
    }
    let (jobs, spans) = jobs(shared, chunk.first, notifications).await;
    let jobs = Arc::new(jobs);
    let purpose = Purpose { operation: Operation::Other, rows: jobs.len(), trace: TraceContext::current() };
    let (kept, written, id) = (queue.clone(), Arc::clone(&jobs), shared.id);
    let then = move |done: Result<&bool, &WriteError>| kept.inner.expanded(id, &written, done);
    let apply = move |tx: &mut Tx<'_>| insert(tx, chunk.first, &jobs);
    let done = queue.inner.store.write_then(purpose, apply, then).await;
    if done.is_err() {
        for span in &spans {
            span.record(names::OTEL_STATUS_CODE, "ERROR");
        }
    }
    done.map(drop).map_err(|error| Held::Store(error.to_string()))
}

/// A job to be, and its place in its notification.
struct New {
    job: Ready,
    part: usize,
    parts: usize,
}

/// The jobs of a chunk. Each notification begins a trace of its own; its PRODUCER span ends with the commit.
async fn jobs(shared: &Shared, first: JobId, notifications: Vec<Payloads>) -> (Vec<New>, Vec<Span>) {
    let mut spans = Vec::with_capacity(notifications.len());
    let mut jobs = Vec::new();
    for payloads in notifications {
        let (id, parts) = (first.part(jobs.len()), payloads.len());
        let span = producer_span(shared, id);
        let trace = span.trace_context().unwrap_or_else(TraceContext::new_root);
        jobs.extend(payloads.into_iter().enumerate().map(|(part, payload)| {
            let job = Ready {
                id: id.part(part),
                notification: id,
                channel: shared.channel,
                priority: shared.priority,
                spent: 0,
                first_due: shared.first_due,
                not_after: shared.not_after,
                trace,
                payload: payload.into(),
                last_attempt: None,
            };
            New { job, part, parts }
        }));
        spans.push(span);
        if spans.len().is_multiple_of(TURN) {
            tokio::task::yield_now().await;
        }
    }
    (jobs, spans)
}

fn producer_span(shared: &Shared, id: JobId) -> Span {
    let span = tracing::info_span!(
        parent: None,
        "create notifications",
        otel.kind = "producer",
        otel.status_code = Empty,
        messaging.system = names::QUEUE_SYSTEM,
        messaging.operation.name = "create",
        messaging.operation.type = "create",
        messaging.destination.name = names::QUEUE_DESTINATION,
        messaging.message.id = %id,
        batch_id = %shared.id,
    );
    span.link_to(shared.trace);
    span
}

/// `false` if the chunk has been expanded before, as by a commit that was uncertain.
fn insert(tx: &mut Tx<'_>, first: JobId, jobs: &[New]) -> Result<bool, StoreError> {
    if !batch::take(tx, first)? {
        return Ok(false);
    }
    for New { job, part, parts } in jobs {
        let new = NewJob {
            id: job.id,
            part: *part,
            parts: *parts,
            sync: false,
            scheduled: false,
            channel: job.channel,
            priority: job.priority,
            first_due: job.first_due,
            not_after: job.not_after,
            trace: job.trace,
            payload: &job.payload,
        };
        sql::insert(tx, &new)?;
    }
    Ok(true)
}

impl super::Inner {
    /// Makes a chunk's end known: runs in the order of the commits.
    fn expanded(&self, batch: JobId, jobs: &[New], done: Result<&bool, &WriteError>) {
        let mut state = self.state.lock();
        match done {
            Ok(true) => {
                state.batches.expanded(batch, jobs.len());
                jobs.iter().for_each(|new| state.lanes.push(new.job.clone()));
            }
            Ok(false) | Err(WriteError::CommitUnknown(_)) => state.doubt(),
            Err(WriteError::Refused(_)) => return,
        }
        drop(state);
        self.wake.notify_one();
    }
}
