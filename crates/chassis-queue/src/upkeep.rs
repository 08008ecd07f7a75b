//! Counting what the store holds, and deleting what has been kept long enough.

use crate::{
    Priority, StoreError, Worker,
    backlog::Jobs,
    metrics::{Counts, Ledger},
    queue::Core,
};
use sqlx::Row as _;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Between two recounts; longer where a recount takes long, so that it costs a twentieth of a core at most.
const RECOUNT: Duration = Duration::from_millis(250);
const RECOUNT_SHARE: u32 = 20;
/// Jobs looked at, or rows deleted, in one transaction.
const PIECE: i64 = 500;
/// Between two such transactions, so that callers' commits come between.
const BREATH: Duration = Duration::from_millis(20);
/// Between two rounds of deleting jobs; shorter where the retention is.
const ROUND: Duration = Duration::from_secs(600);

impl<W: Worker> Core<W> {
    /// Recounts a few times a second. Never ends.
    pub(crate) async fn keep_counting(&self) {
        loop {
            let begun = Instant::now();
            if let Err(error) = self.count().await {
                tracing::debug!(%error, "could not count jobs");
            }
            sleep(RECOUNT.max(begun.elapsed() * RECOUNT_SHARE)).await;
        }
    }

    /// Counts jobs and reads the ledger in one snapshot: gauges, backlog and lag follow.
    pub(crate) async fn count(&self) -> Result<(), StoreError> {
        const WAITING: &str = "SELECT CAST(priority AS BIGINT), CASE WHEN state = 3 THEN 1 ELSE 0 END, CASE WHEN at > CASE WHEN state = 3 THEN $2 ELSE $1 END THEN 1 ELSE 0 END,
            count(*), min(first_due), min(CASE WHEN state < 4 THEN first_due END) FROM job WHERE state <= 4 GROUP BY 1, 2, 3";
        const RUNNING: &str =
            "SELECT CAST(priority AS BIGINT), count(*), min(first_due) FROM job WHERE state = 5 GROUP BY 1";
        const UNEXPANDED: &str = "SELECT CAST(b.priority AS BIGINT), CASE WHEN b.first_due > CASE WHEN b.state = 3 THEN $2 ELSE $1 END THEN 1 ELSE 0 END,
            CAST(sum(c.jobs) AS BIGINT), min(b.first_due) FROM chunk c JOIN batch b ON b.id = c.batch GROUP BY 1, 2";
        const LEDGER: &str = "SELECT CAST(sum(accepted) AS BIGINT), CAST(sum(completed) AS BIGINT), CAST(sum(failed) AS BIGINT),
            CAST(sum(expired) AS BIGINT), CAST(sum(cancelled) AS BIGINT), CAST(sum(unknown) AS BIGINT) FROM ledger";
        let (steady, wall) = (self.store.steady_ms(), self.store.now_ms());
        let mut snapshot = self.store.snapshot().await?;
        let counting = self.counting.write().await;
        // The first statement takes the snapshot.
        let ledger = sqlx::query(LEDGER).fetch_one(&mut *snapshot).await?;
        let mark = self.backlog.mark();
        drop(counting);
        let waiting = sqlx::query(WAITING).bind(steady).bind(wall).fetch_all(&mut *snapshot).await?;
        let running = sqlx::query(RUNNING).fetch_all(&mut *snapshot).await?;
        let unexpanded = sqlx::query(UNEXPANDED).bind(steady).bind(wall).fetch_all(&mut *snapshot).await?;
        snapshot.rollback().await;
        let mut census = Census { now: steady, ..Census::default() };
        for row in &waiting {
            let later = row.try_get::<i64, _>(2)? == 1;
            let scheduled = later && row.try_get::<i64, _>(1)? == 1;
            census.waiting(row.try_get(0)?, later, scheduled, row.try_get(3)?, row.try_get(4)?);
            census.unattempted(row.try_get(0)?, later, row.try_get(5)?);
        }
        for row in &running {
            census.counts.running += row.try_get::<i64, _>(1)?;
            census.jobs.due += row.try_get::<i64, _>(1)?;
            census.oldest(row.try_get(0)?, row.try_get(2)?);
        }
        for row in &unexpanded {
            let (later, jobs): (bool, i64) = (row.try_get::<i64, _>(1)? == 1, row.try_get(2)?);
            census.counts.pending += jobs;
            census.waiting(row.try_get(0)?, later, later, jobs, row.try_get(3)?);
            census.unattempted(row.try_get(0)?, later, row.try_get(3)?);
        }
        let count = |index| ledger.try_get::<Option<i64>, _>(index).map(Option::unwrap_or_default);
        census.counts.ledger = Ledger {
            accepted: count(0)?,
            completed: count(1)?,
            failed: count(2)?,
            expired: count(3)?,
            cancelled: count(4)?,
            unknown: count(5)?,
        };
        self.backlog.recount(mark, census.jobs);
        *self.lag.lock() = census.lag();
        *self.counts.lock() = census.counts;
        Ok(())
    }

    /// Ledger and jobs are written in the same transactions: if they differ, something else wrote.
    pub(crate) fn check_ledger(&self) {
        let counts = self.counts.lock();
        let (jobs, queued) = (counts.ready + counts.later + counts.running, counts.ledger.queued());
        if jobs != queued {
            tracing::error!(jobs, queued, "the ledger does not agree with the jobs in the store");
        }
    }

    /// Deletes finished jobs after their retention, and keys after their day. Never ends.
    pub(crate) async fn clear(&self) {
        let round = ROUND.min(self.config.retention / 4).max(Duration::from_secs(1));
        let jobs = async {
            loop {
                sleep(round).await;
                match self.clear_jobs().await {
                    Ok(0) => {}
                    Ok(jobs) => tracing::info!(jobs, "deleted finished jobs whose retention is over"),
                    Err(error) => tracing::warn!(%error, "could not delete finished jobs"),
                }
            }
        };
        let keys = async {
            const SQL: &str = "DELETE FROM idempotency WHERE scope IN (SELECT scope FROM idempotency WHERE expires < $1 LIMIT $2)";
            loop {
                sleep(RECOUNT).await;
                if self.store.outage().is_none() && self.any_key_expired().await.unwrap_or(false) {
                    let delete = sqlx::query(SQL).bind(self.store.now_ms()).bind(PIECE);
                    let _ = self.store.one_call(delete).await;
                }
            }
        };
        tokio::join!(jobs, keys);
    }

    async fn any_key_expired(&self) -> Result<bool, StoreError> {
        let sql =
            sqlx::query("SELECT 1 FROM idempotency WHERE expires < $1 LIMIT 1").bind(self.store.now_ms());
        let mut connection = self.store.reader().await?;
        Ok(sql.fetch_optional(&mut *connection).await?.is_some())
    }

    /// Looks at jobs in the order of their ids, which is that of their accepting. The ledger goes on counting what is
    /// deleted; unknown jobs wait for a person however long.
    async fn clear_jobs(&self) -> Result<u64, StoreError> {
        const LOOK: &str = "SELECT id, accepted_at FROM job WHERE id > $1 ORDER BY id LIMIT $2";
        const DELETE: &str =
            "DELETE FROM job WHERE id > $1 AND id <= $2 AND state BETWEEN 6 AND 9 AND at < $3";
        const BATCHES: &str = "DELETE FROM batch WHERE accepted_at < $1
            AND NOT EXISTS (SELECT 1 FROM job WHERE job.batch = batch.id AND job.batch <> 0) AND NOT EXISTS (SELECT 1 FROM chunk WHERE chunk.batch = batch.id)";
        let cutoff = self.store.now_ms() - self.config.retention.as_millis() as i64;
        let (mut after, mut deleted) = (0, 0);
        loop {
            let mut reader = self.store.reader().await?;
            let rows = sqlx::query(LOOK).bind(after).bind(PIECE).fetch_all(&mut *reader).await?;
            drop(reader);
            let Some(last) = rows.last() else { break };
            let (last, accepted): (i64, i64) = (last.try_get(0)?, last.try_get(1)?);
            let mut tx = self.store.begin().await?;
            let delete = sqlx::query(DELETE).bind(after).bind(last).bind(cutoff);
            deleted += delete.execute(&mut *tx).await?.rows_affected();
            tx.commit().await?;
            after = last;
            if accepted >= cutoff || self.stop.is_cancelled() {
                break;
            }
            sleep(BREATH).await;
        }
        self.store.one_call(sqlx::query(BATCHES).bind(cutoff)).await?;
        Ok(deleted)
    }
}

/// A recount in progress.
#[derive(Default)]
struct Census {
    now: i64,
    counts: Counts,
    jobs: Jobs,
    /// When the oldest due urgent or normal job that was never attempted was first due.
    unattempted: Option<i64>,
}

impl Census {
    fn waiting(&mut self, priority: i64, later: bool, scheduled: bool, jobs: i64, oldest: Option<i64>) {
        *(if later { &mut self.counts.later } else { &mut self.counts.ready }) += jobs;
        *(if scheduled { &mut self.jobs.scheduled } else { &mut self.jobs.due }) += jobs;
        if !scheduled {
            self.oldest(priority, oldest);
        }
    }

    fn oldest(&mut self, priority: i64, first_due: Option<i64>) {
        let age = first_due.map_or(0.0, |due| (self.now - due).max(0) as f64 / 1000.0);
        if let Some(oldest) = self.counts.ages.get_mut(priority as usize) {
            *oldest = oldest.max(age);
        }
    }

    fn unattempted(&mut self, priority: i64, later: bool, first_due: Option<i64>) {
        if !later && priority != Priority::Bulk as i64 {
            self.unattempted = [self.unattempted, first_due].into_iter().flatten().min();
        }
    }

    fn lag(&self) -> Duration {
        self.unattempted.map_or(Duration::ZERO, |due| Duration::from_millis((self.now - due).max(0) as u64))
    }
}
