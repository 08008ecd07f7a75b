//! Which process runs what: identities with a lease, what happens to the attempts of one that has gone, and how
//! processes wake each other.
//!
//! On SQLite the process that holds the file is the only one: its lease never ends. On PostgreSQL a heartbeat renews
//! it, and another process takes over what a process without a lease had in hand.

use crate::queue::Core;
use crate::store::{CHANNEL, Dialect};
use crate::{Result, StoreError, Worker, metrics};
use std::sync::{Arc, atomic::Ordering};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Between two heartbeats, each of which also looks for leases that are over.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// How long a lease outlives its last heartbeat: an attempt is taken over within 4 s of its process's end, 5 s if busy.
const LEASE: Duration = Duration::from_millis(3500);
/// For this long after the store came back leases are left alone, so that their holders can renew them.
const GRACE: Duration = Duration::from_secs(3);
/// Between two calls of `NOTIFY`: PostgreSQL commits them one after another, whoever makes them.
const APART: Duration = Duration::from_millis(20);
/// Between two tries to listen.
const AGAIN: Duration = Duration::from_secs(1);
/// Interrupted jobs that are decided on in one transaction (the statement's own bound).
const PIECE: usize = 500;

impl<W: Worker> Core<W> {
    /// Takes an identity that nobody had before.
    pub(crate) async fn register(&self) -> Result<()> {
        let identity = rand::random_range(1..i64::MAX);
        let mut tx = self.store.begin().await?;
        if self.store.dialect() == Dialect::Sqlite {
            sqlx::query("DELETE FROM worker").execute(&mut *tx).await?;
        }
        let insert = sqlx::query("INSERT INTO worker (id, lease_until) VALUES ($1, $2)");
        insert.bind(identity).bind(self.lease_until()).execute(&mut *tx).await?;
        tx.commit().await?;
        self.identity.store(identity, Ordering::Relaxed);
        Ok(())
    }

    fn lease_until(&self) -> i64 {
        self.store.dialect().pick(i64::MAX, self.store.steady_ms() + LEASE.as_millis() as i64)
    }

    /// On SQLite, at start: decides on everything that a crash interrupted, and undoes what a wrong clock did.
    pub(crate) async fn recover_all(self: &Arc<Self>) -> Result<()> {
        const SQL: &str = "UPDATE job SET at = $1 WHERE state IN (2, 4) AND state <= 4
            AND at > CASE state WHEN 2 THEN $1 ELSE $2 END; UPDATE batch SET first_due = $1 WHERE state = 2 AND first_due > $1";
        if self.store.dialect() == Dialect::Sqlite {
            // What is not scheduled is due, and no delay is longer: these were stored while the clock was ahead.
            let now = self.store.steady_ms();
            let longest = self.setup.retry.max_delay.max(Duration::from_secs(3600)).as_millis() as i64;
            self.store.one_call(sqlx::query(SQL).bind(now).bind(now + longest)).await?;
            while self.recover().await? == PIECE {}
        }
        Ok(())
    }

    /// Decides on attempts whose process has gone; gives how many there were.
    async fn recover(self: &Arc<Self>) -> Result<usize> {
        let (mut tx, _counting) = self.begin().await?;
        let now = self.store.steady_ms();
        // First: one that renews its lease in this moment waits for it, and takes a new identity.
        sqlx::query("DELETE FROM worker WHERE lease_until <= $1").bind(now).execute(&mut *tx).await?;
        let orphans = self.records(&mut tx, self.sql.orphans.query().bind(now)).await?;
        let interrupted: Vec<_> = orphans.into_iter().map(|job| job.interrupted(self)).collect();
        let count = interrupted.len();
        self.ending(&self.sql.complete, &interrupted).execute(&mut *tx).await?;
        tx.commit().await?;
        if count > 0 {
            metrics::recovered(&self.store, count);
            tracing::warn!(jobs = count, "recovered jobs whose attempt a process's end interrupted");
            let _ = self.completed(interrupted).await;
            self.wake(self.setup.channels.iter().copied());
        }
        Ok(count)
    }

    /// Renews the lease and takes over what others left. Never ends on PostgreSQL.
    pub(crate) async fn keep_lease(self: &Arc<Self>) {
        let (mut well_since, mut outages) = (None, self.store.outages());
        while self.store.dialect() == Dialect::Postgres {
            let beat = async {
                self.heartbeat().await?;
                // The server may make commits only now that we have given up.
                self.doubt.store(true, Ordering::Relaxed);
                let grace_is_over = well_since.get_or_insert_with(Instant::now).elapsed() >= GRACE;
                if grace_is_over && let Err(error) = self.recover().await {
                    tracing::warn!(%error, "could not take over jobs");
                }
                Ok(())
            };
            // A server that vanished without a word must not hold up the next heartbeat.
            let beat = timeout(LEASE, beat).await.unwrap_or(Err(StoreError::SILENT));
            if beat.is_err() || outages.has_changed().unwrap_or_default() {
                outages.mark_unchanged();
                well_since = None;
            }
            sleep(HEARTBEAT).await;
        }
    }

    async fn heartbeat(&self) -> Result<()> {
        const SQL: &str = "UPDATE worker SET lease_until = $1 WHERE id = $2";
        let mut tx = self.store.begin().await?;
        self.store.synchronise(&mut tx).await?;
        let renew = sqlx::query(SQL).bind(self.lease_until()).bind(self.identity.load(Ordering::Relaxed));
        let renewed = renew.execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        if renewed > 0 {
            return Ok(());
        }
        tracing::warn!("this process's lease ended unrenewed; its attempts were taken over");
        self.register().await
    }

    /// Tells other processes of new jobs, once for all that were committed meanwhile. Never ends on PostgreSQL.
    pub(crate) async fn announce(&self) {
        while self.store.dialect() == Dialect::Postgres {
            self.announce.notified().await;
            let told = sqlx::query("SELECT CAST(pg_notify($1, '') AS TEXT)").bind(CHANNEL);
            // A call that is lost costs a poll's time.
            let _ = self.store.one_call(told).await;
            sleep(APART).await;
        }
    }

    /// Wakes this process's workers when another one tells of jobs. Never ends on PostgreSQL.
    pub(crate) async fn listen(&self) {
        while let Some(listener) = self.store.listener().await {
            if let Ok(mut listener) = listener {
                while listener.recv().await.is_ok() {
                    self.wake(self.setup.channels.iter().copied());
                }
            }
            sleep(AGAIN).await;
        }
    }
}
