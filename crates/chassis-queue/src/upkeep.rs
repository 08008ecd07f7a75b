//! Counting what the store holds, and deleting what has been kept long enough.

use crate::{Ledger, Priority, Result, StoreError, Worker, backlog::Jobs, metrics::Counts, queue::Core};
use chassis_telemetry::names::LABEL_STORE;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Between two recounts; longer where a recount takes long, so that it costs a twentieth of a core at most.
const RECOUNT: Duration = Duration::from_millis(250);
const RECOUNT_SHARE: u32 = 20;
/// A recount begins in less time, or not at all: commits wait for it.
const BEGIN: Duration = Duration::from_millis(500);
/// Jobs looked at, or keys deleted (the statement's own bound), in one transaction.
const PIECE: i64 = 500;
/// Between two such transactions, so that callers' commits come between.
const BREATH: Duration = Duration::from_millis(20);
/// Between two rounds of deleting jobs; shorter where the retention is.
const ROUND: Duration = Duration::from_secs(600);

/// Channel (or `/running`, or `/batch`), priority, due (0), later (1) or at a later `run_at` (2), jobs, first due, first due
/// of those never attempted.
type Row = (String, i64, i32, i64, Option<i64>, Option<i64>);

impl<W: Worker> Core<W> {
    /// Recounts a few times a second. Never ends.
    pub(crate) async fn keep_counting(&self) {
        loop {
            let begun = Instant::now();
            let counted = self.store.transaction(self.count()).await;
            let counted = counted.inspect_err(|error| tracing::debug!(%error, "could not count jobs"));
            // One that failed has waited rather than worked.
            let share = if counted.is_ok() { RECOUNT_SHARE } else { 1 };
            sleep(RECOUNT.max(begun.elapsed() * share)).await;
        }
    }

    /// Counts jobs and reads the ledger in one snapshot: gauges, backlog and lag follow.
    pub(crate) async fn count(&self) -> Result<()> {
        let (steady, wall) = (self.store.steady_ms(), self.store.now_ms());
        let mut snapshot = self.store.snapshot().await?;
        // The first statement takes the snapshot.
        let begun = async {
            let _counting = self.counting.write().await;
            let ledger = sqlx::query_as(include_str!("../sql/count_ledger.sql"));
            Ok::<_, StoreError>((ledger.fetch_one(&mut *snapshot).await?, self.backlog.mark()))
        };
        let (ledger, mark) = timeout(BEGIN, begun).await.unwrap_or(Err(StoreError::SILENT))?;
        let jobs = sqlx::query_as(include_str!("../sql/count_jobs.sql")).bind(steady).bind(wall);
        let rows: Vec<Row> = jobs.fetch_all(&mut *snapshot).await?;
        snapshot.rollback().await;
        let (accepted, completed, failed, expired, cancelled, unknown) = ledger;
        let ledger = Ledger { accepted, completed, failed, expired, cancelled, unknown };
        let (mut counts, mut backlog) = (Counts { ledger, ..Counts::default() }, Jobs::default());
        let age = |since: Option<i64>| (steady - since.unwrap_or(steady)).max(0) as u64;
        for (place, priority, when, jobs, first_due, unattempted) in rows {
            match (place.as_str(), when) {
                ("/running", _) => counts.running += jobs,
                (_, 0) => counts.ready += jobs,
                _ => counts.later += jobs,
            }
            if place == "/batch" {
                counts.pending += jobs;
            }
            backlog[usize::from(when == 2)] += jobs;
            if let Some(oldest) = counts.ages.get_mut(priority as usize).filter(|_| when < 2) {
                *oldest = oldest.max(age(first_due) as f64 / 1000.0);
            }
            // What waits for a gateway's return is no overload.
            let paused = self.channel(&place).is_ok_and(|channel| self.setup.worker.paused(channel));
            if when == 0 && priority != Priority::Bulk as i64 && !paused {
                counts.waits = counts.waits.max(Duration::from_millis(age(unattempted)));
            }
        }
        self.backlog.recount(mark, backlog);
        *self.counts.lock() = counts;
        let store = self.store.label().to_owned();
        metrics::counter!("queue_recounts_total", LABEL_STORE => store).increment(1);
        Ok(())
    }

    /// Deletes finished jobs after their retention, and keys after their day. Never ends.
    pub(crate) async fn clear(&self) {
        let round = ROUND.min(self.setup.config.retention / 4).max(Duration::from_secs(1));
        let (mut cleared, mut pause) = (Instant::now(), RECOUNT);
        loop {
            sleep(pause).await;
            if self.store.outage().is_none() {
                let delete = sqlx::query(include_str!("../sql/clear_keys.sql"));
                let keys = self.store.one_call(delete.bind(self.store.now_ms())).await;
                let keys = keys.inspect_err(|error| tracing::warn!(%error, "could not delete expired keys"));
                pause = if keys.is_ok_and(|keys| keys.len() as i64 == PIECE) { BREATH } else { RECOUNT };
            }
            if cleared.elapsed() >= round {
                match self.clear_jobs().await {
                    Ok(0) => {}
                    Ok(jobs) => tracing::info!(jobs, "deleted finished jobs whose retention is over"),
                    Err(error) => tracing::warn!(%error, "could not delete finished jobs"),
                }
                cleared = Instant::now();
            }
        }
    }

    /// Looks at jobs in the order of their ids, which is that of their accepting. The ledger goes on counting what is
    /// deleted; unknown jobs wait for a person however long.
    async fn clear_jobs(&self) -> Result<usize> {
        let cutoff = self.store.now_ms() - self.setup.config.retention.as_millis() as i64;
        let (mut after, mut deleted) = (0_i64, 0);
        while !self.stop.is_cancelled() {
            let look = sqlx::query_as(include_str!("../sql/clear_look.sql")).bind(after).bind(PIECE);
            let (look, mut reader) = (look.bind(self.store.now_ms()), self.store.reader().await?);
            let (last, accepted): (Option<i64>, Option<i64>) =
                self.store.bounded(look.fetch_one(&mut *reader)).await?;
            let Some(last) = last else { break };
            let delete = sqlx::query(include_str!("../sql/clear_delete.sql"));
            deleted += self.store.one_call(delete.bind(after).bind(last).bind(cutoff)).await?.len();
            after = last;
            if accepted >= Some(cutoff) {
                break;
            }
            sleep(BREATH).await;
        }
        self.store.one_call(sqlx::query(include_str!("../sql/clear_batches.sql")).bind(cutoff)).await?;
        Ok(deleted)
    }
}
