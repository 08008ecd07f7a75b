//! What the queue promises of idempotency keys when it has no room, and of how long it remembers them.

use crate::support::queue::{Running, Script, config, gated};
use epro_notify::platform::{
    queue::{Batch, Refused, Status, Submitted, config::QueueConfig},
    store::{LedgerState, Operation, Purpose},
};
use tracing::Span;

#[tokio::test]
async fn a_repeat_gets_the_first_answer_also_when_the_backlog_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let running =
        Running::open(folder.path(), QueueConfig { max_backlog: 5, ..config() }, Script::default()).await;
    let keyed =
        |body: &[u8]| Batch { idempotency: running.keyed("k", body).idempotency, ..running.batch(&[1; 5]) };
    let first = keyed(b"body");
    let answer = first.answer.clone();
    let (first, second) =
        tokio::join!(async { running.queue.submit_batch(first, &Span::none()).await }, async {
            running.queue.submit_batch(keyed(b"body"), &Span::none()).await
        },);
    assert!(matches!(first, Ok(Submitted::Accepted)), "{first:?}");
    assert!(matches!(second, Ok(Submitted::Replayed(replayed)) if replayed == answer));
    let other = running.queue.submit_batch(keyed(b"other"), &Span::none()).await;
    assert!(matches!(other, Err(Refused::KeyReused)), "{other:?}");
    assert_eq!(running.ledger(LedgerState::Accepted), 5);
    running.stop().await;
}

#[tokio::test]
async fn a_single_repeat_is_answered_when_the_backlog_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let running =
        Running::open(folder.path(), QueueConfig { max_backlog: 1, ..config() }, Script::default()).await;
    let (first, second) = tokio::join!(
        running.submit(running.keyed("k", b"body")),
        running.submit(running.keyed("k", b"body")),
    );
    assert!(matches!(first, Ok(Submitted::Accepted)), "{first:?}");
    assert!(matches!(second, Ok(Submitted::Replayed(_))), "{second:?}");
    assert!(matches!(running.submit(running.keyed("k", b"other")).await, Err(Refused::KeyReused)));
    assert!(matches!(running.submit(running.keyed("new", b"body")).await, Err(Refused::BacklogFull { .. })));
    running.stop().await;
}

#[tokio::test]
async fn a_synchronous_repeat_is_told_that_the_first_is_in_flight_also_when_no_other_may_begin() {
    let folder = tempfile::tempdir().unwrap();
    let (script, gate) = gated();
    let running = Running::started(folder.path(), QueueConfig { workers: 1, ..config() }, script).await;
    let first = running.keyed("k", b"body");
    let second = async {
        running.attempted(1).await;
        let repeat = running.deliver_now(running.keyed("k", b"body")).await;
        assert!(matches!(repeat, Ok(Submitted::InFlight)), "{repeat:?}");
        let other = running.deliver_now(running.keyed("other", b"body")).await;
        assert!(matches!(other, Err(Refused::BacklogFull { .. })), "{other:?}");
        gate.add_permits(1);
    };
    let (first, ()) = tokio::join!(running.deliver_now(first), second);
    assert!(matches!(first, Ok(Submitted::Finished(statuses)) if statuses == [Status::Delivered]));
    let repeat = running.deliver_now(running.keyed("k", b"body")).await;
    assert!(matches!(repeat, Ok(Submitted::Replayed(_))), "{repeat:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_key_is_remembered_for_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::open(folder.path(), config(), Script::default()).await;
    running.submit(running.keyed("k", b"body")).await.unwrap();
    let age = async |ms: i64| {
        let purpose = Purpose::of(Operation::Other);
        let aged = running.store.write(purpose, move |tx| {
            tx.execute("UPDATE idempotency SET expires = expires - $1", &[ms.into()])
        });
        assert_eq!(aged.await.unwrap().value, 1);
    };
    age(24 * 60 * 60 * 1000 - 60_000).await;
    assert!(matches!(running.submit(running.keyed("k", b"body")).await, Ok(Submitted::Replayed(_))));
    age(60_000).await;
    assert!(matches!(running.submit(running.keyed("k", b"another")).await, Ok(Submitted::Accepted)));
    assert_eq!(running.ledger(LedgerState::Accepted), 2);
    running.stop().await;
}
