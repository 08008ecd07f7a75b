//! What the queue promises of delivering: attempts, deadlines, priorities, stops, what waits for a person.

use crate::support::queue::{PATIENCE, Running, Script, config, gated, telling};
use epro_notify::platform::{
    queue::{
        DeadLetters, Outcome, Priority, Status, Submission, Verdict,
        config::{OnUnknown, QueueConfig, RetryConfig},
    },
    store::LedgerState,
    time::now_ms,
};
use std::time::Duration;

const RETRY: Outcome = Outcome::Retry { reason: "status_503", after: None };
const UNKNOWN: Outcome = Outcome::Unknown { reason: "timeout" };
const DEAD: Outcome = Outcome::Dead { reason: "status_404" };

#[tokio::test]
async fn a_failed_attempt_is_repeated_with_its_history_until_the_maximum() {
    let folder = tempfile::tempdir().unwrap();
    let script = telling(&[RETRY, UNKNOWN, Outcome::Delivered, RETRY, RETRY, RETRY, RETRY]);
    let running = Running::started(folder.path(), config(), script).await;
    let submission = running.submission();
    let id = submission.id;
    running.submit(submission).await.unwrap();
    let job = running.until(id, Status::Delivered).await;
    let outcomes: Vec<_> = job.attempts.iter().map(|attempt| attempt.outcome.as_str()).collect();
    assert_eq!(outcomes, ["retry", "unknown", "delivered"]);

    let submission = running.submission();
    let id = submission.id;
    running.submit(submission).await.unwrap();
    let job = running.until(id, Status::Dead).await;
    assert_eq!((job.attempts.len(), job.reason.as_deref()), (4, Some("status_503")));
    assert_eq!(running.ledger(LedgerState::Dead), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_parked_job_costs_no_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let parked = Outcome::Parked { reason: "status_429", after: Some(Duration::from_millis(10)) };
    let script = telling(&[
        parked.clone(),
        parked.clone(),
        parked.clone(),
        parked.clone(),
        parked,
        Outcome::Delivered,
    ]);
    let running = Running::started(folder.path(), config(), script).await;
    let submission = running.submission();
    let id = submission.id;
    running.submit(submission).await.unwrap();
    running.until(id, Status::Delivered).await;
    assert!(running.script.attempts.lock().iter().all(|job| job.attempt == 1));
    running.stop().await;
}

#[tokio::test]
async fn an_attempt_of_unknown_outcome_waits_for_a_person_under_hold() {
    let folder = tempfile::tempdir().unwrap();
    let retry = RetryConfig { on_unknown: OnUnknown::Hold, ..config().retry };
    let running =
        Running::started(folder.path(), QueueConfig { retry, ..config() }, telling(&[UNKNOWN, UNKNOWN]))
            .await;
    let (one, other) = (running.submission(), running.submission());
    let (one_id, other_id) = (one.id, other.id);
    running.submit(one).await.unwrap();
    running.submit(other).await.unwrap();
    running.until(one_id, Status::Unknown).await;
    running.until(other_id, Status::Unknown).await;
    assert_eq!(running.queue.dead_letters(DeadLetters::Unknown, None, 10).await.unwrap().len(), 2);
    assert_eq!(running.queue.resolve(one_id, Verdict::Delivered).await.unwrap(), Some(Ok(())));
    assert_eq!(running.queue.resolve(one_id, Verdict::Dead).await.unwrap(), Some(Err(Status::Delivered)));
    assert_eq!(running.queue.replay(other_id).await.unwrap(), Some(Ok(())));
    let job = running.until(other_id, Status::Delivered).await;
    let outcomes: Vec<_> = job.attempts.iter().map(|attempt| attempt.outcome.as_str()).collect();
    assert_eq!(outcomes, ["unknown", "replayed", "delivered"]);
    assert_eq!(running.ledger(LedgerState::Delivered), 2);
    running.stop().await;
}

#[tokio::test]
async fn a_dead_letter_can_be_listed_and_replayed_and_nothing_else_can() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::started(folder.path(), config(), telling(&[DEAD])).await;
    let submission = running.submission();
    let id = submission.id;
    running.submit(submission).await.unwrap();
    running.until(id, Status::Dead).await;
    let dead = running.queue.dead_letters(DeadLetters::Dead, None, 10).await.unwrap();
    assert_eq!((dead.len(), dead[0].reason.as_deref()), (1, Some("status_404")));
    assert!(running.queue.dead_letters(DeadLetters::Dead, Some(id), 10).await.unwrap().is_empty());
    assert_eq!(running.queue.replay(id).await.unwrap(), Some(Ok(())));
    running.until(id, Status::Delivered).await;
    assert_eq!(running.queue.replay(id).await.unwrap(), Some(Err(Status::Delivered)));
    assert_eq!(running.queue.replay(running.queue.allocate(1)).await.unwrap(), None);
    running.stop().await;
}

#[tokio::test]
async fn no_attempt_begins_after_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = Running::open(folder.path(), config(), Script::default()).await;
    let late = Submission { not_after: now_ms() - 1, ..running.submission() };
    let id = late.id;
    running.submit(late).await.unwrap();
    running.start();
    running.until(id, Status::Expired).await;
    assert!(running.script.attempts.lock().is_empty());
    assert_eq!(running.ledger(LedgerState::Expired), 1);
    running.stop().await;
}

#[tokio::test]
async fn urgent_jobs_do_not_wait_behind_a_backlog_of_bulk() {
    let folder = tempfile::tempdir().unwrap();
    let (script, gate) = gated();
    let running = Running::started(folder.path(), QueueConfig { workers: 1, ..config() }, script).await;
    for _ in 0..100 {
        running.submit(Submission { priority: Priority::Bulk, ..running.submission() }).await.unwrap();
    }
    running.attempted(1).await;
    let urgent = Submission { priority: Priority::Urgent, ..running.submission() };
    let id = urgent.id;
    running.submit(urgent).await.unwrap();
    gate.add_permits(3);
    running.until(id, Status::Delivered).await;
    assert!(running.script.attempts.lock().len() <= 4, "it was among the next");
    gate.add_permits(200);
    running.stop().await;
}

#[tokio::test]
async fn what_a_stop_did_not_begin_stays_queued_and_is_delivered_after_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let (script, gate) = gated();
    let running = Running::started(folder.path(), QueueConfig { workers: 2, ..config() }, script).await;
    let submissions: Vec<_> = (0..50).map(|_| running.submission()).collect();
    let ids: Vec<_> = submissions.iter().map(|submission| submission.id).collect();
    for submission in submissions {
        running.submit(submission).await.unwrap();
    }
    running.attempted(2).await;
    let queue = running.queue.clone();
    let stopping = tokio::spawn(async move { queue.stop().await });
    gate.add_permits(2);
    tokio::time::timeout(PATIENCE, stopping).await.unwrap().unwrap();
    assert_eq!(running.script.attempts.lock().len(), 2, "no attempt began after the stop");
    running.stop().await;

    let running = Running::started(folder.path(), config(), Script::default()).await;
    for id in ids {
        running.until(id, Status::Delivered).await;
    }
    assert_eq!(running.script.attempts.lock().len(), 48);
    assert_eq!(running.ledger(LedgerState::Delivered), 50);
    running.stop().await;
}

#[tokio::test]
async fn more_jobs_than_memory_holds_are_all_delivered_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = Running::open(
        folder.path(),
        QueueConfig { max_backlog: 100_000, workers: 64, ..config() },
        Script::default(),
    )
    .await;
    const JOBS: usize = 10_000;
    for _ in 0..JOBS / 100 {
        let batch = Submission {
            id: running.queue.allocate(100),
            payloads: vec![b"x".to_vec(); 100],
            ..running.submission()
        };
        running.submit(batch).await.unwrap();
    }
    running.start();
    let all = async {
        while running.ledger(LedgerState::Delivered) < JOBS as i64 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("not all were delivered");
    let attempts: std::collections::HashSet<_> =
        running.script.attempts.lock().iter().map(|job| job.id).collect();
    assert_eq!((attempts.len(), running.script.attempts.lock().len()), (JOBS, JOBS));
    running.stop().await;
}

#[tokio::test]
async fn the_counts_agree_with_the_store_after_many_retries() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::started(folder.path(), config(), telling(&vec![RETRY; 200])).await;
    for _ in 0..100 {
        running.submit(running.submission()).await.unwrap();
    }
    let done = async {
        while running.ledger(LedgerState::Queued) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, done).await.expect("not all were finished");
    // Room for exactly as many as the bound says: none is taken by a job that is gone. The counts follow
    // the last commit a moment later.
    let bound = config().max_backlog;
    let all = || Submission {
        id: running.queue.allocate(bound),
        payloads: vec![b"x".to_vec(); bound],
        ..running.submission()
    };
    let taken = async {
        while running.submit(all()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.expect("a job that is gone still takes room");
    running.stop().await;
}
