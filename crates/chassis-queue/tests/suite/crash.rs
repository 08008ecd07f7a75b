//! The end of a process in the middle of its work.

use super::*;

/// Leaves attempts in hand behind.
async fn killed(database: &Database, config: Config, jobs: usize) -> Vec<JobId> {
    let (script, _gate) = gated();
    let running = Running::started(database, config, script).await;
    let ids = running.accept_many(jobs).await;
    running.attempted(jobs).await;
    running.kill().await;
    ids
}

#[tokio::test]
async fn interrupted_attempts_are_repeated_and_counted_as_spent() {
    let database = Database::new().await;
    let ids = killed(&database, config(), 3).await;
    let running = Running::started(&database, config(), Script::default()).await;
    for id in ids {
        let job = running.until(id, JobState::Completed).await;
        assert_eq!(outcomes(&job), [AttemptOutcome::Unknown, AttemptOutcome::Completed]);
    }
    assert!(running.script.attempts.lock().iter().all(|(_, attempt)| attempt.number == 2));
    assert_eq!(running.ledger().await.completed, 3);
}

#[tokio::test]
async fn interrupted_attempts_wait_for_a_person_under_hold() {
    let database = Database::new().await;
    let ids = killed(&database, hold(), 3).await;
    let running = Running::started(&database, hold(), Script::default()).await;
    for id in ids {
        assert_eq!(running.until(id, JobState::Unknown).await.reason.as_deref(), Some("interrupted"));
    }
    assert_eq!((running.attempts(), running.ledger().await.unknown), (0, 3));
}

#[tokio::test]
async fn an_interrupted_synchronous_call_is_unknown_and_its_repeat_is_told() {
    let database = Database::new().await;
    let (script, _gate) = gated();
    let running = Running::started(&database, config(), script).await;
    let enqueue = running.keyed(1, 1);
    let (id, queue) = (enqueue.id, running.queue.clone());
    let caller = tokio::spawn(async move { queue.run_now(enqueue, answer).await });
    running.attempted(1).await;
    caller.abort();
    running.kill().await;
    let running = Running::started(&database, config(), Script::default()).await;
    running.until(id, JobState::Unknown).await;
    let first = Finished::Replayed(answer(id, &[JobState::Unknown]));
    assert_eq!(running.run_now(running.keyed(1, 1)).await, Ok(first));
    assert_eq!(running.attempts(), 0);
}
