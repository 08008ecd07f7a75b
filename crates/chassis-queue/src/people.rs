//! What callers and operators ask and decide: find, cancel, dead letters, replay, resolve.

use crate::{
    AttemptOutcome, AttemptRecord, Fact, JobId, JobRecord, JobState, Ledger, Queue, Result, Tx, Worker,
    enqueue::read_json, model::Stored, queue::Core, sql::Query,
};
use sqlx::{AnyConnection, AssertSqlSafe, Row as _, any::AnyRow};

/// Which failed jobs to replay; everything is optional. Times are Unix milliseconds of the failure.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub reason: Option<String>,
    pub channel: Option<String>,
    /// Inclusive.
    pub since: Option<i64>,
    /// Exclusive.
    pub until: Option<i64>,
    pub limit: Option<usize>,
}

/// A person's verdict on an unknown job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Completed,
    Failed,
}

/// Jobs that are replayed in one transaction.
const PIECE: usize = 200;

/// Jobs of the group $1.
macro_rules! in_group {
    () => {
        "id >= $1 AND id < (SELECT first.id + first.parts FROM job AS first WHERE first.id = $1 AND first.part = 0)"
    };
}

/// What became of a person's decision: `None` if there is no such job, `Err(state)` inside if it is in another state.
type Decided = Option<Result<(), JobState>>;

impl<W: Worker> Queue<W> {
    /// All jobs of a group in order; `None` if there is no such group.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn find(&self, group: JobId) -> Result<Option<Vec<JobRecord>>> {
        let mut reader = self.core.store.read("find jobs").await?;
        let jobs = self.core.group(&mut reader, group).await?;
        Ok((!jobs.is_empty()).then_some(jobs))
    }

    /// Cancels the group's jobs that are accepted or retrying. Gives how many it cancelled and the jobs afterwards;
    /// `None` if there is no such group.
    ///
    /// # Errors
    /// See [`crate::StoreError`].
    pub async fn cancel(&self, group: JobId) -> Result<Option<(usize, Vec<JobRecord>)>> {
        const CANCEL: &str =
            concat!("UPDATE job SET state = 9, at = $2 WHERE state <= 4 AND ", in_group!(), " RETURNING id");
        let core = &self.core;
        let (mut tx, _counting) = core.begin().await?;
        let now = core.store.now_ms();
        let cancel = sqlx::query(CANCEL).bind(group.0).bind(now).fetch_all(&mut *tx);
        let cancelled = cancel.await?.len();
        let more = Ledger { cancelled: cancelled as i64, ..Ledger::default() };
        core.write_ledger(&mut tx, more).await?;
        let jobs = core.group(&mut tx, group).await?;
        tx.commit().await?;
        let scheduled = jobs.iter().filter(|job| job.at == now && job.first_due > now).count() as i64;
        core.backlog.changed([scheduled - cancelled as i64, -scheduled]);
        let Some(&JobRecord { channel, priority, .. }) = jobs.first() else { return Ok(None) };
        let fact = Fact::Finished { channel, priority, state: JobState::Cancelled, end_to_end: None };
        (0..cancelled).for_each(|_| core.setup.worker.observe(&fact));
        Ok(Some((cancelled, jobs)))
    }

    /// A page of jobs that wait for a person (`Failed` or `Unknown`), newest first, with ids below `before`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn dead_letters(
        &self,
        state: JobState,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobRecord>> {
        // The first condition is the index's own, so that SQLite uses it.
        const WHERE: &str = "WHERE state IN (7, 10) AND state = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
        let before = before.map_or(i64::MAX, |id| id.0);
        let mut reader = self.core.store.read("list dead letters").await?;
        let query = self.core.jobs(WHERE).bind(state as i64).bind(before).bind(limit as i64);
        self.core.records(&mut reader, query).await
    }

    /// Queues a failed or unknown job again, with its history. A `not_after` that has passed is moved.
    ///
    /// # Errors
    /// See [`crate::StoreError`].
    pub async fn replay(&self, job: JobId) -> Result<Decided> {
        const WHERE: &str = "WHERE state IN (7, 10) AND id = $1";
        let core = &self.core;
        let (mut tx, _counting) = core.begin().await?;
        let found = core.records(&mut tx, core.locking(WHERE).bind(job.0)).await?;
        if found.is_empty() {
            return core.undecided(tx, job).await;
        }
        core.replay(tx, &found).await?;
        Ok(Some(Ok(())))
    }

    /// Replays the failed jobs that match, and gives how many they were.
    ///
    /// # Errors
    /// See [`crate::StoreError`].
    pub async fn replay_where(&self, filter: &Filter) -> Result<usize> {
        const WHERE: &str = "WHERE state IN (7, 10) AND state = 7 AND id < $1 AND ($2 IS NULL OR reason = $2)
            AND ($3 IS NULL OR channel = $3) AND at >= $4 AND at < $5 ORDER BY id DESC LIMIT $6";
        let core = &self.core;
        let (mut before, mut left) = (i64::MAX, filter.limit.unwrap_or(usize::MAX));
        let (since, until) = (filter.since.unwrap_or(i64::MIN), filter.until.unwrap_or(i64::MAX));
        let mut replayed = 0;
        while left > 0 {
            let (mut tx, _counting) = core.begin().await?;
            let query = core.locking(WHERE).bind(before).bind(filter.reason.as_deref());
            let query = query.bind(filter.channel.as_deref()).bind(since).bind(until);
            let found = core.records(&mut tx, query.bind(left.min(PIECE) as i64)).await?;
            core.replay(tx, &found).await?;
            replayed += found.len();
            left -= found.len();
            // A piece is smaller also where others have changed jobs of it meanwhile.
            let Some(last) = found.last() else { break };
            before = last.id.0;
        }
        Ok(replayed)
    }

    /// Records a person's verdict on the unknown jobs of a group, or on one unknown job.
    ///
    /// # Errors
    /// See [`crate::StoreError`].
    pub async fn resolve(&self, id: JobId, verdict: Verdict) -> Result<Decided> {
        const UNKNOWN: &str = concat!("WHERE state = 10 AND (id = $1 OR ", in_group!(), ") ORDER BY id");
        const SQL: &str = "UPDATE job SET state = $1, at = $2, history = $3 WHERE id = $4";
        let core = &self.core;
        let (state, outcome) = match verdict {
            Verdict::Completed => (JobState::Completed, AttemptOutcome::ResolvedCompleted),
            Verdict::Failed => (JobState::Failed, AttemptOutcome::ResolvedFailed),
        };
        let mut tx = core.store.begin().await?;
        let unknown = core.records(&mut tx, core.locking(UNKNOWN).bind(id.0)).await?;
        if unknown.is_empty() {
            return core.undecided(tx, id).await;
        }
        let now = core.store.now_ms();
        let mut more = Ledger::default();
        for job in &unknown {
            let history = job.history_with(Some(&decided(outcome, now)));
            let update = sqlx::query(SQL).bind(state as i64).bind(now).bind(history).bind(job.id.0);
            update.execute(&mut *tx).await?;
            more.add(JobState::Unknown, -1);
            more.add(state, 1);
        }
        core.write_ledger(&mut tx, more).await?;
        tx.commit().await?;
        for &JobRecord { channel, priority, .. } in &unknown {
            core.setup.worker.observe(&Fact::Finished { channel, priority, state, end_to_end: None });
        }
        Ok(Some(Ok(())))
    }
}

impl<W: Worker> Core<W> {
    /// All jobs of a group in order.
    pub(crate) async fn group(&self, connection: &mut AnyConnection, group: JobId) -> Result<Vec<JobRecord>> {
        const WHERE: &str = concat!("WHERE ", in_group!(), " ORDER BY id");
        self.records(connection, self.jobs(WHERE).bind(group.0)).await
    }

    pub(crate) async fn records(&self, on: &mut AnyConnection, query: Query<'_>) -> Result<Vec<JobRecord>> {
        self.read(&query.fetch_all(on).await?)
    }

    pub(crate) fn read(&self, rows: &[AnyRow]) -> Result<Vec<JobRecord>> {
        let mut jobs = Vec::new();
        for row in rows {
            for job in read_json::<Vec<Stored<'_>>>(row.try_get(0)?)? {
                jobs.push(job.record(self)?);
            }
        }
        Ok(jobs)
    }

    /// A query of jobs.
    pub(crate) fn jobs(&self, which: &str) -> Query<'static> {
        sqlx::query(AssertSqlSafe(format!("{} {which}", self.sql.job)))
    }

    /// A query of what its transaction then changes: on PostgreSQL others could change it in between. On SQLite there
    /// is one writer.
    fn locking(&self, which: &str) -> Query<'static> {
        self.jobs(&format!("{which}{}", self.store.dialect().pick("", " FOR UPDATE")))
    }

    /// A decision that came to nothing, since the job is in another state.
    async fn undecided(&self, mut tx: Tx, job: JobId) -> Result<Decided> {
        let found = self.records(&mut tx, self.jobs("WHERE id = $1").bind(job.0)).await?;
        tx.rollback().await;
        Ok(found.first().map(|job| Err(job.state)))
    }

    /// Queues finished jobs again: due now, with all attempts before them. A deadline that has passed is moved: a
    /// person has decided that they shall run.
    async fn replay(&self, mut tx: Tx, jobs: &[JobRecord]) -> Result<()> {
        const SQL: &str = "UPDATE job SET state = 2, sync = 0, spent = 0, unknowns = 0, first_due = $1, at = $1, reason = NULL,
            not_after = $2, history = $3 WHERE id = $4";
        let (steady, wall) = (self.store.steady_ms(), self.store.now_ms());
        let mut more = Ledger::default();
        for job in jobs {
            let not_after = job.not_after.max(wall.saturating_add(job.not_after - job.first_due));
            let history = job.history_with(Some(&decided(AttemptOutcome::Replayed, wall)));
            let query = sqlx::query(SQL).bind(steady).bind(not_after).bind(history).bind(job.id.0);
            query.execute(&mut *tx).await?;
            more.add(job.state, -1);
        }
        self.write_ledger(&mut tx, more).await?;
        tx.commit().await?;
        self.backlog.changed([jobs.len() as i64, 0]);
        self.committed_jobs(jobs.iter().map(|job| job.channel));
        Ok(())
    }
}

/// A person's decision in a job's history.
fn decided(outcome: AttemptOutcome, at: i64) -> AttemptRecord {
    AttemptRecord { at, outcome, provider: "operator".to_owned(), duration_ms: 0, receipt: None }
}
