//! Jobs that run while their caller waits.

use crate::{
    Answer, Enqueue, Enqueued, Finished, JobId, JobRecord, JobState, Key, Queue, Refused, StoreError, Worker,
    attempt::Ended,
    enqueue::{Start, json},
    metrics::Operation,
};
use chassis_telemetry::{SpanExt as _, TraceContext};
use futures_util::future::join_all;
use std::{
    collections::HashSet,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};
use tokio::time::sleep;
use tracing::{Instrument as _, Span};

/// Between two tries to commit outcomes while the store cannot.
const AGAIN: Duration = Duration::from_millis(500);

impl<W: Worker> Queue<W> {
    /// Commits jobs as running, makes one attempt at each while the caller waits, and commits the outcomes with the
    /// answer that `answer` makes of the group's id and the jobs' states. Nothing is retried; dropping the future cancels nothing.
    ///
    /// # Errors
    /// See [`Refused`]; also refused while as many such calls run as the channel has workers.
    pub async fn run_now(
        &self,
        enqueue: Enqueue<W::Job>,
        answer: impl Fn(JobId, &[JobState]) -> Answer + Send + 'static,
    ) -> Result<Finished, Refused> {
        let core = &self.core;
        let slot = core.sync_slots.get(core.channel_index(enqueue.channel)).cloned();
        let Some(permit) = slot.and_then(|slots| slots.try_acquire_owned().ok()) else {
            let full = Refused::BacklogFull { retry_after: Duration::from_secs(1) };
            return self.repeated_or(enqueue.key.as_ref(), full).await.map(Finished::from);
        };
        let (queue, span) = (self.clone(), core.send_span(&enqueue));
        // A task of its own: once committed, the attempt is made whoever waits for it.
        let work = async move {
            let finished = queue.commit_and_run(enqueue, answer).await;
            drop(permit);
            finished
        };
        #[expect(clippy::disallowed_methods, reason = "the task is in the caller's span")]
        tokio::spawn(work.instrument(span)).await.unwrap_or(Err(Refused::CommitUnknown))
    }

    async fn commit_and_run(
        &self,
        enqueue: Enqueue<W::Job>,
        answer: impl Fn(JobId, &[JobState]) -> Answer + Send,
    ) -> Result<Finished, Refused> {
        let core = &self.core;
        let jobs = self.running(&enqueue)?;
        let ids: Vec<i64> = jobs.iter().map(|job| job.id.0).collect();
        core.in_hand.lock().extend(&ids);
        let (id, key) = (enqueue.id, enqueue.key.clone());
        let enqueued = self.submit(enqueue, Start::Now).await;
        if enqueued != Ok(Enqueued::New) {
            core.in_hand.lock().retain(|id| !ids.contains(id));
            return match (enqueued?, &key) {
                // A crash may have left it without its answer: the jobs know.
                (Enqueued::InFlight, Some(key)) => self.finished_before(key, answer).await,
                (other, _) => Ok(other.into()),
            };
        }
        let ended = join_all(jobs.into_iter().map(|job| job.attempt(core))).await;
        let states: Vec<JobState> = ended.iter().map(|ended| ended.decision.state).collect();
        self.keep_outcomes(ended, key.as_ref().map(|key| (key, answer(id, &states)))).await;
        Ok(Finished::States(states))
    }

    /// The jobs as they will be stored.
    fn running(&self, enqueue: &Enqueue<W::Job>) -> Result<Vec<JobRecord>, StoreError> {
        let now = self.core.store.steady_ms();
        let job = |(part, job): (usize, &W::Job)| {
            Ok(JobRecord {
                id: enqueue.id.part(part),
                group: enqueue.id,
                batch: None,
                channel: enqueue.channel,
                priority: enqueue.priority,
                state: JobState::Running,
                accepted_at: now,
                first_due: now,
                at: now,
                not_after: enqueue.not_after,
                trace: Span::current().trace_context().unwrap_or_else(TraceContext::new_root),
                reason: None,
                attempts: Vec::new(),
                payload: json(job)?,
                spent: 1,
                unknowns: 0,
                sync: true,
                worker: self.core.identity.load(Ordering::Relaxed),
                last_trace: None,
            })
        };
        enqueue.jobs.iter().enumerate().map(job).collect()
    }

    /// Commits the outcomes and the answer for repeats, however long the store takes to come back.
    async fn keep_outcomes(&self, mut ended: Vec<Ended>, answer: Option<(&Key, Answer)>) {
        let core = &self.core;
        loop {
            let begun = Instant::now();
            // The backlog knows before the next recount begins.
            let counting = core.counting.read().await;
            match self.commit_outcomes(&ended, answer.as_ref()).await {
                Ok(found) => {
                    core.metrics.committed(Operation::Complete, found.len(), begun.elapsed());
                    return core.completed(ended, &found);
                }
                Err(error) => {
                    tracing::warn!(%error, "an attempt's end is not committed yet; trying again");
                    let doubtful = matches!(error, StoreError::CommitUnknown(_));
                    ended.iter_mut().for_each(|ended| ended.doubtful |= doubtful);
                    drop(counting);
                    sleep(AGAIN).await;
                }
            }
        }
    }

    async fn commit_outcomes(
        &self,
        ended: &[Ended],
        answer: Option<&(&Key, Answer)>,
    ) -> Result<HashSet<i64>, StoreError> {
        const ANSWER: &str = "UPDATE idempotency SET status = $1, body = $2, location = $3 WHERE scope = $4";
        let mut tx = self.core.store.begin().await?;
        let found = self.core.complete(&mut tx, ended).await?;
        if let Some((key, answer)) = answer {
            let query = sqlx::query(ANSWER).bind(i64::from(answer.status)).bind(&answer.body[..]);
            query.bind(answer.location.as_deref()).bind(&key.scope[..]).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(found)
    }

    /// The answer to a key whose jobs finished without one.
    async fn finished_before(
        &self,
        key: &Key,
        answer: impl Fn(JobId, &[JobState]) -> Answer,
    ) -> Result<Finished, Refused> {
        let mut reader = self.core.store.read("find jobs").await?;
        let owner = sqlx::query_scalar("SELECT owner FROM idempotency WHERE scope = $1").bind(&key.scope[..]);
        let owner: Option<i64> = owner.fetch_optional(&mut *reader).await.map_err(StoreError::from)?;
        let first = JobId(owner.unwrap_or_default());
        let jobs = self.core.group(&mut reader, first).await?;
        let states: Vec<JobState> = jobs.iter().map(|job| job.state).collect();
        if states.is_empty() || !states.iter().all(|state| state.is_final()) {
            return Ok(Finished::InFlight);
        }
        Ok(Finished::Replayed(answer(first, &states)))
    }
}

impl From<Enqueued> for Finished {
    fn from(enqueued: Enqueued) -> Self {
        match enqueued {
            Enqueued::New => Self::States(Vec::new()),
            Enqueued::Replayed(answer) => Self::Replayed(answer),
            Enqueued::InFlight => Self::InFlight,
        }
    }
}
