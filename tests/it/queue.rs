//! The queue's promises, on a real file.

use crate::support::queue::{PATIENCE, Running, Script, answer, config};
use epro_notify::platform::{
    queue::{
        DeadLetters, Fact, Outcome, Priority, Refused, Status, Submission, Submitted, Verdict,
        config::{OnUnknown, QueueConfig, RetryConfig},
    },
    store::LedgerState,
    time::now_ms,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

const RETRY: Outcome = Outcome::Retry { reason: "status_503", after: None };
const UNKNOWN: Outcome = Outcome::Unknown { reason: "timeout" };
const DEAD: Outcome = Outcome::Dead { reason: "status_404" };

fn telling(outcomes: &[Outcome]) -> Script {
    let script = Script::default();
    script.outcomes.lock().extend(outcomes.iter().cloned());
    script
}

fn gated() -> (Script, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    (Script { gate: Some(Arc::clone(&gate)), ..Script::default() }, gate)
}

#[tokio::test]
async fn an_accepted_job_is_delivered_once_and_accounted_for() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::started(folder.path(), config(), Script::default()).await;
    let submission = running.submission();
    let id = submission.id;
    assert!(matches!(running.queue.submit(submission).await, Ok(Submitted::Accepted)));
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
        assert!(running.queue.submit(running.submission()).await.is_ok());
    }
    let refused = running.queue.submit(running.submission()).await;
    assert!(
        matches!(refused, Err(Refused::BacklogFull { retry_after }) if retry_after >= Duration::from_secs(1))
    );
    let urgent = || Submission { priority: Priority::Urgent, ..running.submission() };
    assert!(running.queue.submit(urgent()).await.is_ok(), "urgent may exceed it by a tenth");
    assert!(running.queue.submit(urgent()).await.is_err());
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
    running.queue.submit(submission).await.unwrap();
    running.until(id, Status::Retrying).await;
    assert!(matches!(running.queue.submit(running.submission()).await, Err(Refused::BacklogFull { .. })));
    assert_eq!(running.queue.cancel(id).await.unwrap().0, 1);
    assert!(running.queue.submit(running.submission()).await.is_ok());
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
        running.queue.submit(first),
        futures_util::future::join_all(others.into_iter().map(|other| running.queue.submit(other)))
    );
    assert!(matches!(one, Ok(Submitted::Accepted)));
    for repeat in rest {
        assert!(matches!(repeat, Ok(Submitted::Replayed(answer)) if answer == expected));
    }
    assert!(matches!(running.queue.submit(running.keyed("k", b"other")).await, Err(Refused::KeyReused)));
    assert_eq!(running.ledger(LedgerState::Accepted), 1);
    running.stop().await;

    let again = Running::open(folder.path(), config(), Script::default()).await;
    let repeat = again.queue.submit(again.keyed("k", b"body")).await;
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
    running.queue.submit(later).await.unwrap();
    running.queue.submit(soon).await.unwrap();
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
async fn a_failed_attempt_is_repeated_with_its_history_until_the_maximum() {
    let folder = tempfile::tempdir().unwrap();
    let script = telling(&[RETRY, UNKNOWN, Outcome::Delivered, RETRY, RETRY, RETRY, RETRY]);
    let running = Running::started(folder.path(), config(), script).await;
    let submission = running.submission();
    let id = submission.id;
    running.queue.submit(submission).await.unwrap();
    let job = running.until(id, Status::Delivered).await;
    let outcomes: Vec<_> = job.attempts.iter().map(|attempt| attempt.outcome.as_str()).collect();
    assert_eq!(outcomes, ["retry", "unknown", "delivered"]);

    let submission = running.submission();
    let id = submission.id;
    running.queue.submit(submission).await.unwrap();
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
    running.queue.submit(submission).await.unwrap();
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
    running.queue.submit(one).await.unwrap();
    running.queue.submit(other).await.unwrap();
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
    running.queue.submit(submission).await.unwrap();
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
    running.queue.submit(late).await.unwrap();
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
        running.queue.submit(Submission { priority: Priority::Bulk, ..running.submission() }).await.unwrap();
    }
    running.attempted(1).await;
    let urgent = Submission { priority: Priority::Urgent, ..running.submission() };
    let id = urgent.id;
    running.queue.submit(urgent).await.unwrap();
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
        running.queue.submit(submission).await.unwrap();
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
        running.queue.submit(batch).await.unwrap();
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
async fn a_synchronous_call_makes_one_attempt_and_answers_a_repeat_alike() {
    let folder = tempfile::tempdir().unwrap();
    let running =
        Running::started(folder.path(), config(), telling(&[RETRY, UNKNOWN, Outcome::Delivered])).await;
    for expected in [Status::Dead, Status::Unknown, Status::Delivered] {
        let submission = running.keyed(expected.as_str(), b"body");
        let id = submission.id;
        let finished = running.queue.deliver_now(submission).await;
        assert!(matches!(finished, Ok(Submitted::Finished(statuses)) if statuses == [expected]));
        let repeat = running.queue.deliver_now(running.keyed(expected.as_str(), b"body")).await;
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
    let caller = tokio::spawn(async move { queue.deliver_now(submission).await.is_ok() });
    running.attempted(1).await;
    let repeat = running.queue.deliver_now(running.keyed("k", b"body")).await;
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
    running.queue.submit(later).await.unwrap();
    let submission = running.submission();
    let id = submission.id;
    running.queue.submit(submission).await.unwrap();
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
    running.queue.submit(submission).await.unwrap();
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
