//! Retention: finished jobs and idempotency keys are deleted in small pieces between other commits.

use super::{
    IdempotencyKey, JobId, Queue,
    sql::{batch, sweep},
};
use crate::platform::{
    store::{Operation, Purpose, Tx},
    time::now_ms,
};
use std::time::Duration;

/// Jobs looked at, and rows deleted, in one piece.
const PIECE: usize = 500;
/// Between two pieces, so that callers' commits come between.
const BREATH: Duration = Duration::from_millis(20);
/// Between two rounds; shorter where the retention is.
const ROUND: Duration = Duration::from_secs(600);

/// Runs until the queue is stopped.
pub(super) async fn run(queue: Queue) {
    let round = ROUND.min(queue.inner.config.retention / 4).max(Duration::from_secs(1));
    while sleep(&queue, round).await {
        if !clear_jobs(&queue).await || !clear_batches(&queue).await || !clear_keys(&queue).await {
            return;
        }
    }
}

/// `false` once the queue is stopped.
async fn sleep(queue: &Queue, time: Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => true,
        () = queue.inner.stop.cancelled() => false,
    }
}

async fn clear_jobs(queue: &Queue) -> bool {
    let cutoff = now_ms() - queue.inner.config.retention.as_millis() as i64;
    let mut after = Some(JobId::first_of(0));
    let mut deleted = 0;
    while let Some(from) = after {
        let look =
            queue.inner.store.read("find expired jobs", move |tx| sweep::expired(tx, from, cutoff, PIECE));
        let Ok((ids, next)) = look.await else { return sleep(queue, ROUND).await };
        after = next;
        if !ids.is_empty() {
            deleted += ids.len();
            let purpose = Purpose { operation: Operation::Other, rows: ids.len(), trace: None };
            if queue.inner.store.write(purpose, move |tx: &mut Tx<'_>| sweep::delete(tx, &ids)).await.is_err()
            {
                return sleep(queue, BREATH).await;
            }
        }
        if !sleep(queue, BREATH).await {
            return false;
        }
    }
    if deleted > 0 {
        tracing::info!(jobs = deleted, "deleted finished jobs whose retention is over");
    }
    true
}

/// A batch goes once all its jobs have gone.
async fn clear_batches(queue: &Queue) -> bool {
    let until = JobId::first_of(now_ms() - queue.inner.config.retention.as_millis() as i64);
    let purpose = Purpose { operation: Operation::Other, rows: 0, trace: None };
    // What is more than a piece goes with the next round: nothing waits for it.
    let forget = queue.inner.store.write(purpose, move |tx: &mut Tx<'_>| batch::forget(tx, until, PIECE));
    forget.await.is_ok() || sleep(queue, BREATH).await
}

async fn clear_keys(queue: &Queue) -> bool {
    loop {
        let purpose = Purpose { operation: Operation::Other, rows: 0, trace: None };
        let forget = |tx: &mut Tx<'_>| IdempotencyKey::forget_expired(tx, now_ms(), PIECE);
        match queue.inner.store.write(purpose, forget).await {
            Ok(done) if done.value == PIECE => {}
            _ => return true,
        }
        if !sleep(queue, BREATH).await {
            return false;
        }
    }
}
