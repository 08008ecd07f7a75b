//! What people ask and decide.

use super::*;
use chassis_queue::{Filter, Verdict};

#[tokio::test]
async fn a_failed_job_can_be_listed_and_replayed_and_nothing_else_can() {
    let running = Running::alone(config(), telling(&[FAILED])).await;
    let id = running.accept(running.job()).await;
    running.until(id, JobState::Failed).await;
    let dead = running.queue.dead_letters(JobState::Failed, None, 10).await.unwrap();
    assert_eq!((dead.len(), dead[0].reason.as_deref()), (1, Some("status_404")));
    assert!(running.queue.dead_letters(JobState::Failed, Some(id), 10).await.unwrap().is_empty());
    assert!(running.queue.dead_letters(JobState::Unknown, None, 10).await.unwrap().is_empty());
    assert_eq!(running.queue.replay(id).await.unwrap(), Some(Ok(())));
    let job = running.until(id, JobState::Completed).await;
    assert_eq!(outcomes(&job), [AttemptOutcome::Failed, AttemptOutcome::Replayed, AttemptOutcome::Completed]);
    assert_eq!(running.queue.replay(id).await.unwrap(), Some(Err(JobState::Completed)));
    assert_eq!(running.queue.replay(running.queue.new_id(1)).await.unwrap(), None);
    let ledger = running.ledger().await;
    assert_eq!((ledger.failed, ledger.completed), (0, 1));
}

#[tokio::test]
async fn a_person_decides_on_an_unknown_job_once() {
    let running = Running::alone(hold(), telling(&[UNKNOWN, UNKNOWN, UNKNOWN])).await;
    let ids = running.accept_many(3).await;
    for id in &ids {
        running.until(*id, JobState::Unknown).await;
    }
    assert_eq!(running.queue.dead_letters(JobState::Unknown, None, 10).await.unwrap().len(), 3);
    assert_eq!(running.queue.resolve(ids[0], Verdict::Completed).await.unwrap(), Some(Ok(())));
    assert_eq!(running.queue.resolve(ids[0], Verdict::Failed).await.unwrap(), Some(Err(JobState::Completed)));
    assert_eq!(running.queue.resolve(ids[1], Verdict::Failed).await.unwrap(), Some(Ok(())));
    assert_eq!(running.queue.resolve(running.queue.new_id(1), Verdict::Failed).await.unwrap(), None);
    assert_eq!(running.queue.replay(ids[2]).await.unwrap(), Some(Ok(())));
    let job = running.until(ids[2], JobState::Completed).await;
    assert_eq!(
        outcomes(&job),
        [AttemptOutcome::Unknown, AttemptOutcome::Replayed, AttemptOutcome::Completed]
    );
    let ledger = running.ledger().await;
    assert_eq!((ledger.completed, ledger.failed, ledger.unknown), (2, 1, 0));
}

#[tokio::test]
async fn failed_jobs_are_replayed_by_what_they_have_in_common() {
    let other = Outcome::Failed { reason: "other" };
    let mut outcomes = vec![FAILED; 5];
    outcomes.extend(vec![other; 2]);
    let running = Running::alone(workers(1), telling(&outcomes)).await;
    running.accept_many(7).await;
    running.wait("not all failed", async || running.ledger().await.failed == 7).await;
    let filter = Filter { reason: Some("status_404".to_owned()), limit: Some(2), ..Filter::default() };
    assert_eq!(running.queue.replay_where(&filter).await.unwrap(), 2);
    let filter = Filter {
        reason: Some("status_404".to_owned()),
        channel: Some("test".to_owned()),
        ..Filter::default()
    };
    assert_eq!(running.queue.replay_where(&filter).await.unwrap(), 3);
    let now = running.queue.store().now_ms();
    for none in [
        Filter { channel: Some("other".to_owned()), ..Filter::default() },
        Filter { since: Some(now + 60_000), ..Filter::default() },
        Filter { until: Some(now - 60_000), ..Filter::default() },
    ] {
        assert_eq!(running.queue.replay_where(&none).await.unwrap(), 0);
    }
    running.wait("not all ran again", async || running.ledger().await.completed == 5).await;
    assert_eq!(running.ledger().await.failed, 2);
}

#[tokio::test]
async fn a_group_is_found_and_cancelled_as_one() {
    let (script, gate) = gated();
    let running = Running::alone(workers(2), script).await;
    let id = running.accept(running.jobs(5)).await;
    running.attempted(2).await;
    let (cancelled, jobs) = running.queue.cancel(id).await.unwrap().unwrap();
    assert_eq!((cancelled, jobs.len()), (3, 5));
    assert!(jobs.iter().all(|job| job.group == id));
    assert!(running.queue.cancel(running.queue.new_id(1)).await.unwrap().is_none());
    assert!(running.queue.find(id.part(1)).await.unwrap().is_none(), "a part is not a group");
    gate.add_permits(10);
    running.wait("not all ended", async || queued(running.ledger().await) == 0).await;
    assert_eq!(running.ledger().await.cancelled, 3);
}

#[tokio::test]
async fn retention_deletes_what_is_finished_and_the_ledger_keeps_counting_it() {
    let mut short = config();
    short.queue.retention = Duration::from_millis(100);
    let running = Running::alone(short, Script::default()).await;
    let kept = running
        .accept(Enqueue { run_at: Some(running.queue.store().now_ms() + 60_000), ..running.job() })
        .await;
    let id = running.accept(running.job()).await;
    let gone = async || running.find(id).await.is_empty() && running.ledger_counts().await.1 == 1;
    running.wait("it was never deleted", gone).await;
    assert_eq!(running.ledger_counts().await, (2, 1));
    assert_eq!(running.find(kept).await.len(), 1);
}

#[tokio::test]
async fn a_job_that_was_accepted_while_the_clock_was_ahead_keeps_no_other() {
    let mut short = config();
    short.queue.retention = Duration::from_millis(100);
    let running = Running::alone(short, Script::default()).await;
    let later = Some(running.queue.store().now_ms() + 60_000);
    // More than are looked at together, and they are kept.
    for _ in 0..6 {
        running.accept(Enqueue { run_at: later, ..running.jobs(100) }).await;
    }
    running.execute("UPDATE job SET accepted_at = accepted_at + 31536000000").await;
    let id = running.accept(running.job()).await;
    let gone = async || running.find(id).await.is_empty() && running.ledger().await.completed == 1;
    running.wait("it was never deleted", gone).await;
}

#[tokio::test]
async fn retention_deletes_a_group_as_a_whole() {
    let mut short = hold();
    short.queue.retention = Duration::from_millis(100);
    let running = Running::alone(short, telling(&[DONE, UNKNOWN])).await;
    let group = running.accept(running.jobs(2)).await;
    running.wait("not all ended", async || queued(running.ledger().await) == 0).await;
    let single = running.accept(running.job()).await;
    let gone = async || running.find(single).await.is_empty() && running.ledger().await.completed == 2;
    running.wait("it was never deleted", gone).await;
    assert_eq!(running.find(group).await.len(), 2, "one of them waits for a person");
    assert_eq!(running.queue.resolve(group, Verdict::Failed).await, Ok(Some(Ok(()))));
    running.wait("it was never deleted", async || running.find(group).await.is_empty()).await;
}

impl Running {
    async fn ledger_counts(&self) -> (i64, i64) {
        let ledger = self.ledger().await;
        (ledger.accepted, ledger.completed)
    }
}
