//! Enqueueing inside a transaction of the service.

use super::*;
use chassis_queue::Enqueued;

#[tokio::test]
async fn jobs_are_stored_with_the_transaction_or_not_at_all() {
    let running = Running::alone(config(), Script::default()).await;
    let store = running.queue.store().clone();
    let (kept, dropped) = (running.jobs(2), running.job());
    let (kept_id, dropped_id) = (kept.id, dropped.id);
    let mut tx = store.begin().await.unwrap();
    sqlx::query("INSERT INTO note (id, text) VALUES ($1, $2)")
        .bind(kept_id.number())
        .bind("kept")
        .execute(&mut *tx)
        .await
        .unwrap();
    assert_eq!(running.queue.enqueue_in(&mut tx, kept).await, Ok(Enqueued::New));
    tx.commit().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    assert_eq!(running.queue.enqueue_in(&mut tx, dropped).await, Ok(Enqueued::New));
    drop(tx);
    running.wait("they never ran", async || running.ledger().await.completed == 2).await;
    assert!(running.find(dropped_id).await.is_empty());
    assert_eq!(running.find(kept_id).await.len(), 2);
    let mut tx = store.begin().await.unwrap();
    let first = running.keyed(1, 1);
    let expected = first.answer.clone();
    assert_eq!(running.queue.enqueue_in(&mut tx, first).await, Ok(Enqueued::New));
    assert_eq!(
        running.queue.enqueue_in(&mut tx, running.keyed(1, 1)).await,
        Ok(Enqueued::Replayed(expected))
    );
    assert_eq!(running.queue.enqueue_in(&mut tx, running.keyed(1, 2)).await, Err(Refused::KeyReused));
    tx.rollback().await;
    assert!(matches!(running.queue.enqueue(running.keyed(1, 3)).await, Ok(Enqueued::New)));
}
