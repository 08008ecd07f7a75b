//! Jobs that run while their caller waits.

use crate::{
    Answer, Enqueue, Enqueued, Finished, JobId, JobState, Key, Queue, Refused, StoreError, Worker,
    attempt::Caller, dispatch::Wake, queue::InHand,
};
use futures_util::future::join_all;
use std::{sync::atomic::Ordering, time::Duration};
use tokio::sync::oneshot;
use tracing::Instrument as _;

impl<W: Worker> Queue<W> {
    /// Commits jobs as running, makes one attempt at each while the caller waits, and has [`Self::run`] commit the
    /// outcomes with the answer that `answer` makes of the group's id and the jobs' states. Nothing is retried;
    /// dropping the future cancels nothing.
    ///
    /// # Errors
    /// See [`Refused`]; also refused while as many such jobs run as the channel has workers.
    pub async fn run_now(
        &self,
        enqueue: Enqueue<W::Job>,
        answer: impl Fn(JobId, &[JobState]) -> Answer + Send + 'static,
    ) -> Result<Finished, Refused> {
        if !self.take_in_hand(&enqueue) {
            let full = Refused::BacklogFull { retry_after: Duration::from_secs(1) };
            return self.repeated_or(enqueue.key.as_ref(), full).await.map(Finished::Replayed);
        }
        let (queue, span) = (self.clone(), self.core.send_span(&enqueue, enqueue.jobs.len()));
        // A task of its own: once committed, the attempt is made whoever waits for it.
        let work = async move { queue.commit_and_run(enqueue, answer).await };
        #[expect(clippy::disallowed_methods, reason = "the task is in the caller's span")]
        tokio::spawn(work.instrument(span)).await.unwrap_or(Err(Refused::CommitUnknown))
    }

    /// Notes the jobs as running, unless as many run as there may be.
    fn take_in_hand(&self, enqueue: &Enqueue<W::Job>) -> bool {
        let Enqueue { id, channel, priority, .. } = *enqueue;
        let mut in_hand = self.core.in_hand.lock();
        let running = in_hand.values().filter(|job| job.sync && job.channel == channel).count();
        let free = running < self.core.config.workers;
        if free {
            let hand = |part| (id.part(part).0, InHand { channel, priority, sync: true });
            in_hand.extend((0..enqueue.jobs.len()).map(hand));
        }
        free
    }

    async fn commit_and_run(
        &self,
        enqueue: Enqueue<W::Job>,
        answer: impl Fn(JobId, &[JobState]) -> Answer + Send,
    ) -> Result<Finished, Refused> {
        let core = &self.core;
        let (id, count, key) = (enqueue.id, enqueue.jobs.len(), enqueue.key.clone());
        let enqueued = self.submit(enqueue, count, true).await;
        let read = async { core.group(&mut *core.store.reader().await?, id).await };
        let jobs = if enqueued == Ok(Enqueued::New) { read.await.ok() } else { None };
        let Some(jobs) = jobs else {
            core.in_hand.lock().retain(|job, _| !(id.0..id.part(count).0).contains(job));
            // If they are committed all the same, the dispatcher finds and starts them.
            core.doubt.store(true, Ordering::Relaxed);
            core.wake.wake(Wake::ALL);
            return match (enqueued, &key) {
                // A crash may have left it without its answer: the jobs know.
                (Err(Refused::InFlight), Some(key)) => self.finished_before(key, answer).await,
                (Ok(Enqueued::Replayed(first)), _) => Ok(Finished::Replayed(first)),
                (other, _) => Err(other.err().unwrap_or(Refused::CommitUnknown)),
            };
        };
        let mut ended = join_all(jobs.into_iter().map(|job| job.attempt(core))).await;
        let states: Vec<JobState> = ended.iter().map(|ended| ended.decision.state).collect();
        let (told, committed) = oneshot::channel();
        if let Some(last) = ended.last_mut() {
            last.caller = Some(Caller { answer: key.map(|key| (key, answer(id, &states))), _told: told });
        }
        for ended in ended {
            let _ = core.ends.send(ended).await;
        }
        // However long the store takes to come back.
        let _ = committed.await;
        Ok(Finished::States(states))
    }

    /// The answer to a key whose jobs finished without one.
    async fn finished_before(
        &self,
        key: &Key,
        answer: impl Fn(JobId, &[JobState]) -> Answer,
    ) -> Result<Finished, Refused> {
        const OWNER: &str = "SELECT owner FROM idempotency WHERE scope = $1";
        let mut reader = self.core.store.read("find jobs").await?;
        let owner = sqlx::query_scalar(OWNER).bind(&key.scope[..]).fetch_optional(&mut *reader).await;
        let first = JobId(owner.map_err(StoreError::from)?.unwrap_or_default());
        let jobs = self.core.group(&mut reader, first).await?;
        let states: Vec<JobState> = jobs.iter().map(|job| job.state).collect();
        if states.is_empty() || !states.iter().all(|state| state.is_final()) {
            return Err(Refused::InFlight);
        }
        Ok(Finished::Replayed(answer(first, &states)))
    }
}
