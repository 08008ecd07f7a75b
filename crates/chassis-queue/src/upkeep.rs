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

const LEDGER: &str =
    "SELECT CAST(sum(accepted) AS BIGINT), CAST(sum(completed) AS BIGINT), CAST(sum(failed) AS BIGINT),
    CAST(sum(expired) AS BIGINT), CAST(sum(cancelled) AS BIGINT), CAST(sum(unknown) AS BIGINT) FROM ledger";

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
        // Where, priority, with a run_at, later, jobs, first due, first due of those never attempted.
        const JOBS: &str = "SELECT 'waiting', CAST(priority AS BIGINT), CASE WHEN state = 3 THEN 1 ELSE 0 END,
              CASE WHEN at > CASE WHEN state = 3 THEN $2 ELSE $1 END THEN 1 ELSE 0 END,
              count(*), min(first_due), min(CASE WHEN state < 4 THEN first_due END) FROM job WHERE state <= 4 GROUP BY 2, 3, 4
            UNION ALL SELECT 'running', CAST(priority AS BIGINT), 0, 0, count(*), min(first_due), NULL
              FROM job WHERE state = 5 GROUP BY 2
            UNION ALL SELECT 'batch', CAST(b.priority AS BIGINT), CASE WHEN b.state = 3 THEN 1 ELSE 0 END,
              CASE WHEN b.first_due > CASE WHEN b.state = 3 THEN $2 ELSE $1 END THEN 1 ELSE 0 END,
              CAST(sum(c.jobs) AS BIGINT), min(b.first_due), min(b.first_due)
              FROM chunk c JOIN batch b ON b.id = c.batch GROUP BY 2, 3, 4";
        let (steady, wall) = (self.store.steady_ms(), self.store.now_ms());
        let mut snapshot = self.store.snapshot().await?;
        let counting = self.counting.write().await;
        // The first statement takes the snapshot.
        let ledger = sqlx::query(LEDGER).fetch_one(&mut *snapshot).await?;
        let mark = self.backlog.mark();
        drop(counting);
        let rows = sqlx::query(JOBS).bind(steady).bind(wall).fetch_all(&mut *snapshot).await?;
        snapshot.rollback().await;
        let (mut counts, mut jobs, mut unattempted) = (Counts::default(), Jobs::default(), None);
        for row in &rows {
            let (place, priority, count): (&str, i64, i64) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(4)?);
            let later = row.try_get::<i64, _>(3)? == 1;
            let scheduled = later && row.try_get::<i64, _>(2)? == 1;
            match place {
                "running" => counts.running += count,
                _ if later => counts.later += count,
                _ => counts.ready += count,
            }
            counts.pending += if place == "batch" { count } else { 0 };
            jobs[usize::from(scheduled)] += count;
            let age = steady - row.try_get::<Option<i64>, _>(5)?.unwrap_or(steady);
            if let Some(oldest) = counts.ages.get_mut(priority as usize).filter(|_| !scheduled) {
                *oldest = oldest.max(age as f64 / 1000.0);
            }
            if !later && priority != Priority::Bulk as i64 {
                unattempted = [unattempted, row.try_get(6)?].into_iter().flatten().min();
            }
        }
        let total = |index| ledger.try_get::<Option<i64>, _>(index).map(Option::unwrap_or_default);
        let [accepted, completed, failed, expired, cancelled, unknown] =
            [total(0)?, total(1)?, total(2)?, total(3)?, total(4)?, total(5)?];
        counts.ledger = Ledger { accepted, completed, failed, expired, cancelled, unknown };
        self.backlog.recount(mark, jobs);
        *self.lag.lock() = Duration::from_millis((steady - unattempted.unwrap_or(steady)).max(0) as u64);
        *self.counts.lock() = counts;
        self.metrics.recounts.increment(1);
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
