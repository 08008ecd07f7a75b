//! What callers and operators ask and decide: find, cancel, dead letters, replay, resolve.

use super::{
    DeadLetters, Fact, Inner, JobId, JobRecord, Priority, Queue, Status, Verdict,
    book::Kind,
    sql::{person, read},
};
use crate::platform::{
    store::{Operation, Purpose, StoreError, Tx, WriteError},
    time::now_ms,
};

impl Queue {
    /// All jobs of a notification in order, empty if there is none of that id.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn find(&self, id: JobId) -> Result<Vec<JobRecord>, StoreError> {
        let channels = self.inner.channels;
        self.inner.store.look_up("find notification", move |tx| read::notification(tx, id, channels)).await
    }

    /// A page of jobs that are `dead` (or `unknown`), newest first, older than `before`.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn dead_letters(
        &self,
        which: DeadLetters,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StoreError> {
        let channels = self.inner.channels;
        self.inner
            .store
            .read("list dead letters", move |tx| read::dead_letters(tx, which, before, limit, channels))
            .await
    }

    /// Cancels the notification's jobs that are `accepted` or `retrying`, and says how many it cancelled
    /// and what the jobs are afterwards; an empty list if there is no such notification.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn cancel(&self, id: JobId) -> Result<(usize, Vec<JobRecord>), WriteError> {
        let channels = self.inner.channels;
        let queue = self.clone();
        let apply = move |tx: &mut Tx<'_>| {
            let cancelled = match person::parts(tx, id)? {
                Some(parts) => person::cancel(tx, id, parts, now_ms())?,
                None => Vec::new(),
            };
            Ok((cancelled, read::notification(tx, id, channels)?))
        };
        let then = move |result: Result<&(Vec<person::Cancelled>, Vec<JobRecord>), &WriteError>| {
            if let Ok((cancelled, jobs)) = result {
                queue.inner.cancelled(cancelled, jobs);
            }
        };
        let done = self.inner.store.write_then(Purpose::of(Operation::Other), apply, then).await?;
        let (cancelled, jobs) = done.value;
        Ok((cancelled.len(), jobs))
    }

    /// Queues a dead or unknown job again with its history; `None` if there is no such job, `Err(status)`
    /// inside if it is in another status.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn replay(&self, id: JobId) -> Result<Option<Result<(), Status>>, WriteError> {
        let queue = self.clone();
        let then = move |result: Result<&Option<Result<Priority, Status>>, &WriteError>| {
            if let Ok(Some(Ok(priority))) = result {
                let mut state = queue.inner.state.lock();
                state.book.add(Kind::Due, 1, false);
                state.lanes.spilled(*priority);
                drop(state);
                queue.inner.wake.notify_one();
            }
        };
        let apply = move |tx: &mut Tx<'_>| person::replay(tx, id, now_ms());
        let done = self.inner.store.write_then(Purpose::of(Operation::Other), apply, then).await?;
        Ok(done.value.map(|found| found.map(|_priority| ())))
    }

    /// A person's verdict on an `unknown` job; answers as [`Self::replay`].
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn resolve(
        &self,
        id: JobId,
        verdict: Verdict,
    ) -> Result<Option<Result<(), Status>>, WriteError> {
        let queue = self.clone();
        let channels = self.inner.channels;
        let then = move |result: Result<&Option<Result<Fact, Status>>, &WriteError>| {
            if let Ok(Some(Ok(fact))) = result {
                queue.inner.handler.observe(fact);
            }
        };
        let apply = move |tx: &mut Tx<'_>| person::resolve(tx, id, verdict, now_ms(), channels);
        let done = self.inner.store.write_then(Purpose::of(Operation::Other), apply, then).await?;
        Ok(done.value.map(|found| found.map(|_fact| ())))
    }
}

impl Inner {
    fn cancelled(&self, cancelled: &[person::Cancelled], jobs: &[JobRecord]) {
        let mut state = self.state.lock();
        for one in cancelled {
            let waits = one.due > state.due_until;
            state.book.leave(if one.was_scheduled && waits { Kind::Scheduled } else { Kind::Due }, 1);
            if one.was_retrying && waits {
                state.book.waiting_due(1);
            }
        }
        for job in jobs.iter().filter(|job| job.status == Status::Cancelled) {
            state.book.forget(job.priority, job.first_due, job.id);
        }
        drop(state);
        for (job, _) in jobs.iter().filter(|job| job.status == Status::Cancelled).zip(cancelled) {
            let (channel, priority) = (job.channel, job.priority);
            self.handler.observe(&Fact::Finished {
                channel,
                priority,
                status: Status::Cancelled,
                end_to_end: None,
            });
        }
    }
}
