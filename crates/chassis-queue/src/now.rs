//! Jobs that run while their caller waits.

use crate::{
    Answer, Enqueue, Enqueued, Finished, JobId, JobState, Queue, Refused, StoreError, Worker,
    attempt::{Ended, Started},
    metrics::Operation,
    model::Start,
    schema::code,
};
use chassis_telemetry::{SpanExt as _, TraceContext};
use futures_util::future::join_all;
use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};
use tokio::time::sleep;
use tracing::{Instrument as _, Span};

/// Between two tries to commit outcomes while the store cannot.
const AGAIN: Duration = Duration::from_millis(500);

impl<W: Worker> Queue<W> {
    /// Commits jobs as running, makes one attempt at each while the caller waits, and commits the outcomes with the
    /// answer that `answer` makes of the states. Nothing is retried; dropping the future cancels nothing.
    ///
    /// # Errors
    /// See [`Refused`]; also refused while as many such calls run as the channel has workers.
    pub async fn run_now(
        &self,
        enqueue: Enqueue<W::Job>,
        answer: impl Fn(&[JobState]) -> Answer + Send + 'static,
    ) -> Result<Finished, Refused> {
        let core = &self.core;
        let slot = core.sync_slots.get(core.channel_index(enqueue.channel)).cloned();
        let Some(permit) = slot.and_then(|slots| slots.try_acquire_owned().ok()) else {
            let full = Refused::BacklogFull { retry_after: Duration::from_secs(1) };
            return self.repeated_or(enqueue.key.as_ref(), full).await.map(Finished::from);
        };
        let (queue, span) = (self.clone(), core.producer_span(&enqueue));
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
        answer: impl Fn(&[JobState]) -> Answer + Send,
    ) -> Result<Finished, Refused> {
        let core = &self.core;
        let ids: Vec<i64> = (0..enqueue.jobs.len()).map(|part| enqueue.id.part(part).0).collect();
        core.in_hand.lock().extend(&ids);
        let worker = core.identity.load(Ordering::Relaxed);
        let enqueued = self.submit(&enqueue, Start::Now).await;
        if enqueued != Ok(Enqueued::New) {
            core.in_hand.lock().retain(|id| !ids.contains(id));
            return match (enqueued?, &enqueue.key) {
                // A crash may have left it without its answer: the jobs know.
                (Enqueued::InFlight, Some(key)) => self.finished_before(key, answer).await,
                (other, _) => Ok(other.into()),
            };
        }
        let attempts = self.started(&enqueue, worker).into_iter().map(|job| job.attempt(core));
        let ended = join_all(attempts).await;
        let states: Vec<JobState> = ended.iter().map(|ended| ended.decision.state).collect();
        self.keep_outcomes(ended, enqueue.key.as_ref().map(|key| (key, answer(&states)))).await;
        Ok(Finished::States(states))
    }

    /// The committed jobs as attempts take them.
    fn started(&self, enqueue: &Enqueue<W::Job>, worker: i64) -> Vec<Started> {
        let trace = Span::current().trace_context().unwrap_or_else(TraceContext::new_root);
        let now = self.core.store.steady_ms();
        let job = |(part, job): (usize, &W::Job)| Started {
            id: enqueue.id.part(part),
            group: enqueue.id,
            batch: None,
            channel: enqueue.channel,
            priority: enqueue.priority,
            state: code::RUNNING,
            spent: 1,
            unknowns: 0,
            sync: true,
            first_due: now,
            not_after: enqueue.not_after,
            worker,
            trace,
            last_trace: None,
            history: String::new(),
            payload: serde_json::to_string(job).unwrap_or_default(),
        };
        enqueue.jobs.iter().enumerate().map(job).collect()
    }

    /// Commits the outcomes and the answer for repeats, however long the store takes to come back.
    async fn keep_outcomes(&self, mut ended: Vec<Ended>, answer: Option<(&crate::Key, Answer)>) {
        const ANSWER: &str = "UPDATE idempotency SET status = $1, body = $2, location = $3 WHERE scope = $4";
        let core = &self.core;
        loop {
            let begun = Instant::now();
            let commit = async {
                let (mut tx, counting) = core.begin().await?;
                let found = core.complete(&mut tx, core.shared_slot(), &ended).await?;
                if let Some((key, answer)) = &answer {
                    let query = sqlx::query(ANSWER).bind(i64::from(answer.status)).bind(&answer.body[..]);
                    query.bind(answer.location.as_deref()).bind(&key.scope[..]).execute(&mut *tx).await?;
                }
                tx.commit().await.map(|()| (found, counting))
            };
            match commit.await {
                Ok((found, _counting)) => {
                    core.metrics.committed(Operation::Complete, found.len(), begun.elapsed());
                    return core.completed(ended, &found);
                }
                Err(error) => {
                    tracing::warn!(%error, "an attempt's end is not committed yet; trying again");
                    let doubtful = matches!(error, StoreError::CommitUnknown(_));
                    ended.iter_mut().for_each(|ended| ended.doubtful |= doubtful);
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// The answer to a key whose jobs finished without one.
    async fn finished_before(
        &self,
        key: &crate::Key,
        answer: impl Fn(&[JobState]) -> Answer,
    ) -> Result<Finished, Refused> {
        let mut reader = self.core.store.read("find jobs").await?;
        let owner = sqlx::query_scalar("SELECT owner FROM idempotency WHERE scope = $1").bind(&key.scope[..]);
        let owner: Option<i64> = owner.fetch_optional(&mut *reader).await.map_err(StoreError::from)?;
        let jobs = self.core.group(&mut reader, JobId(owner.unwrap_or_default())).await?;
        let states: Vec<JobState> = jobs.iter().map(|job| job.state).collect();
        if states.is_empty() || !states.iter().all(|state| state.is_final()) {
            return Ok(Finished::InFlight);
        }
        Ok(Finished::Replayed(answer(&states)))
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
