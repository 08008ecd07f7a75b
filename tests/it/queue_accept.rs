//! What the queue promises of accepting: bounds, keys, due times, synchronous calls, retention.

use crate::support::queue::{PATIENCE, Running, Script, answer, config, gated, telling};
use epro_notify::platform::{
    queue::{
        Fact, Outcome, Priority, Refused, Status, Submission, Submitted,
        config::{QueueConfig, RetryConfig},
    },
    store::LedgerState,
    time::now_ms,
};
use std::{sync::Arc, time::Duration};

const RETRY: Outcome = Outcome::Retry { reason: "status_503", after: None };
const UNKNOWN: Outcome = Outcome::Unknown { reason: "timeout" };

#[tokio::test]
async fn an_accepted_job_is_delivered_once_and_accounted_for() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::started(folder.path(), config(), Script::default()).await;
    let submission = running.submission();
    let id = submission.id;
    assert!(matches!(running.submit(submission).await, Ok(Submitted::Accepted)));
    let job = running.until(id, Status::Delivered).await;
    assert_eq!(job.attempts.len(), 1);
    assert_eq!(
        (job.attempts[0].outcome.as_str(), job.attempts[0].provider.as_str()),
        ("delivered", "script")
    );
    assert_eq!(running.ledger(LedgerState::Delivered), 1);
    assert_eq!(running.ledger(LedgerState::Queued), 0);
    assert_eq!(running.script.attempts.lock().len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_full_backlog_refuses_the_next_job_and_not_one_earlier() {
    let folder = tempfile::tempdir().unwrap();
    let (script, gate) = gated();
    let running = Running::started(folder.path(), QueueConfig { max_backlog: 10, ..config() }, script).await;
    for _ in 0..10 {
        assert!(running.submit(running.submission()).await.is_ok());
    }
    let refused = running.submit(running.submission()).await;
    assert!(
        matches!(refused, Err(Refused::BacklogFull { retry_after }) if retry_after >= Duration::from_secs(1))
    );
    let urgent = || Submission { priority: Priority::Urgent, ..running.submission() };
    assert!(running.submit(urgent()).await.is_ok(), "urgent may exceed it by a tenth");
    assert!(running.submit(urgent()).await.is_err());
    assert_eq!(running.ledger(LedgerState::Accepted), 11, "what was refused left nothing behind");
    gate.add_permits(100);
    running.stop().await;
}

#[tokio::test]
async fn jobs_that_wait_for_a_retry_still_fill_the_backlog() {
    let folder = tempfile::tempdir().unwrap();
    let retry = RetryConfig {
        base_delay: Duration::from_secs(3600),
        max_delay: Duration::from_secs(3600),
        ..config().retry
    };
    let running = Running::started(
        folder.path(),
        QueueConfig { max_backlog: 1, retry, ..config() },
        telling(&[Outcome::Retry { reason: "x", after: Some(Duration::from_secs(600)) }]),
    )
    .await;
    let submission = running.submission();
    let id = submission.id;
    running.submit(submission).await.unwrap();
    running.until(id, Status::Retrying).await;
    assert!(matches!(running.submit(running.submission()).await, Err(Refused::BacklogFull { .. })));
    assert_eq!(running.queue.cancel(id).await.unwrap().0, 1);
    assert!(running.submit(running.submission()).await.is_ok());
    running.stop().await;
}

#[tokio::test]
async fn a_repeated_key_gets_the_first_answer_also_in_flight_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::open(folder.path(), config(), Script::default()).await;
    let first = running.keyed("k", b"body");
    let expected = answer(first.id, &[Status::Accepted]);
    let others: Vec<_> = (0..8).map(|_| running.keyed("k", b"body")).collect();
    let (one, rest) = tokio::join!(
        running.submit(first),
        futures_util::future::join_all(others.into_iter().map(|other| running.submit(other)))
    );
    assert!(matches!(one, Ok(Submitted::Accepted)));
    for repeat in rest {
        assert!(matches!(repeat, Ok(Submitted::Replayed(answer)) if answer == expected));
    }
    assert!(matches!(running.submit(running.keyed("k", b"other")).await, Err(Refused::KeyReused)));
    assert_eq!(running.ledger(LedgerState::Accepted), 1);
    running.stop().await;

    let again = Running::open(folder.path(), config(), Script::default()).await;
    let repeat = again.submit(again.keyed("k", b"body")).await;
    assert!(matches!(repeat, Ok(Submitted::Replayed(answer)) if answer == expected));
    again.stop().await;
}

#[tokio::test]
async fn a_job_is_not_attempted_before_its_time_and_can_be_cancelled_until_then() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::started(folder.path(), config(), Script::default()).await;
    let at = |ms| Some(now_ms() + ms);
    let soon = Submission { send_at: at(300), ..running.submission() };
    let later = Submission { send_at: at(60_000), ..running.submission() };
    let (soon_id, later_id, due) = (soon.id, later.id, soon.send_at.unwrap());
    running.submit(later).await.unwrap();
    running.submit(soon).await.unwrap();
    let job = running.until(soon_id, Status::Delivered).await;
    assert!(job.attempts[0].at >= due, "attempted {} ms early", due - job.attempts[0].at);
    let (cancelled, jobs) = running.queue.cancel(later_id).await.unwrap();
    assert_eq!((cancelled, jobs[0].status), (1, Status::Cancelled));
    assert_eq!(running.queue.cancel(later_id).await.unwrap().0, 0, "only once");
    assert_eq!(running.ledger(LedgerState::Cancelled), 1);
    assert_eq!(running.ledger(LedgerState::Queued), 0);
    running.stop().await;
}

#[tokio::test]
async fn a_synchronous_call_makes_one_attempt_and_answers_a_repeat_alike() {
    let folder = tempfile::tempdir().unwrap();
    let running =
        Running::started(folder.path(), config(), telling(&[RETRY, UNKNOWN, Outcome::Delivered])).await;
    for expected in [Status::Dead, Status::Unknown, Status::Delivered] {
        let submission = running.keyed(expected.as_str(), b"body");
        let id = submission.id;
        let finished = running.deliver_now(submission).await;
        assert!(matches!(finished, Ok(Submitted::Finished(statuses)) if statuses == [expected]));
        let repeat = running.deliver_now(running.keyed(expected.as_str(), b"body")).await;
        assert!(matches!(repeat, Ok(Submitted::Replayed(first)) if first == answer(id, &[expected])));
    }
    assert_eq!(running.script.attempts.lock().len(), 3);
    running.stop().await;
}

#[tokio::test]
async fn a_synchronous_repeat_in_flight_is_told_so_and_a_caller_who_leaves_cancels_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (script, gate) = gated();
    let running = Running::started(folder.path(), config(), script).await;
    let submission = running.keyed("k", b"body");
    let id = submission.id;
    let queue = running.queue.clone();
    let caller =
        tokio::spawn(async move { queue.deliver_now(submission, tracing::Span::none()).await.is_ok() });
    running.attempted(1).await;
    let repeat = running.deliver_now(running.keyed("k", b"body")).await;
    assert!(matches!(repeat, Ok(Submitted::InFlight)));
    caller.abort();
    gate.add_permits(1);
    running.until(id, Status::Delivered).await;
    running.stop().await;
}

#[tokio::test]
async fn retention_deletes_what_is_finished_and_the_ledger_keeps_counting_it() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::started(
        folder.path(),
        QueueConfig { retention: Duration::from_millis(100), ..config() },
        Script::default(),
    )
    .await;
    let later = Submission { send_at: Some(now_ms() + 60_000), ..running.submission() };
    let kept = later.id;
    running.submit(later).await.unwrap();
    let submission = running.submission();
    let id = submission.id;
    running.submit(submission).await.unwrap();
    let gone = async {
        while !running.queue.find(id).await.unwrap().is_empty() || running.ledger(LedgerState::Delivered) == 0
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("it was never deleted");
    assert_eq!(running.ledger(LedgerState::Accepted), 2);
    assert_eq!(running.queue.find(kept).await.unwrap().len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn facts_are_told_once_each_after_their_commit() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::started(folder.path(), config(), telling(&[RETRY])).await;
    let submission = running.submission();
    let id = submission.id;
    running.submit(submission).await.unwrap();
    running.until(id, Status::Delivered).await;
    let script = Arc::clone(&running.script);
    running.stop().await;
    let facts = script.facts.lock();
    let count = |is: fn(&Fact) -> bool| facts.iter().filter(|fact| is(fact)).count();
    assert_eq!(count(|fact| matches!(fact, Fact::Accepted { .. })), 1);
    assert_eq!(count(|fact| matches!(fact, Fact::Attempted { outcome: "retry", .. })), 1);
    assert_eq!(count(|fact| matches!(fact, Fact::Attempted { outcome: "delivered", .. })), 1);
    let finished =
        |fact: &Fact| matches!(fact, Fact::Finished { status: Status::Delivered, end_to_end: Some(_), .. });
    assert_eq!(count(finished), 1);
}
