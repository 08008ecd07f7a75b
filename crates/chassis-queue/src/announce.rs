//! Waking workers of other processes: PostgreSQL's NOTIFY, which a poll backs up.

use crate::{Worker, queue::Core, store::CHANNEL};
use std::{sync::atomic::Ordering, time::Duration};
use tokio::time::sleep;

/// Between two notifications: PostgreSQL commits them one after another, whoever makes them.
const APART: Duration = Duration::from_millis(20);
/// Between two tries to listen.
const AGAIN: Duration = Duration::from_secs(1);

impl<W: Worker> Core<W> {
    /// Tells other processes of new jobs, once for all that were committed meanwhile. Never ends.
    pub(crate) async fn announce(&self) {
        loop {
            self.announce.notified().await;
            if self.has_peers.load(Ordering::Relaxed) {
                let notify = sqlx::query("SELECT CAST(pg_notify($1, '') AS TEXT)").bind(CHANNEL);
                // A notification that is lost costs a poll's time.
                let _ = self.store.one_call(notify).await;
                sleep(APART).await;
            }
        }
    }

    /// Wakes this process's workers when another one tells of jobs. Never ends on PostgreSQL.
    pub(crate) async fn listen(&self) {
        while let Some(listener) = self.store.listener().await {
            let Ok(mut listener) = listener else {
                sleep(AGAIN).await;
                continue;
            };
            while listener.recv().await.is_ok() {
                self.store.wake().notify_one();
            }
        }
    }
}
