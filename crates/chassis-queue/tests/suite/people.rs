//! What people ask and decide.

use super::*;
use chassis_queue::{Filter, Verdict};

#[tokio::test]
async fn a_failed_job_can_be_listed_and_replayed_and_nothing_else_can() {
    let database = Database::new().await;
    let running = Running::started(&database, config(), telling(&[FAILED])).await;
    let enqueue = running.job();
    let id = enqueue.id;
    running.queue.enqueue(enqueue).await.unwrap();
    running.until(id, JobState::Failed).await;
    let dead = running.queue.dead_letters(JobState::Failed, None, 10).await.unwrap();
    assert_eq!((dead.len(), dead[0].reason.as_deref()), (1, Some("status_404")));
    assert!(running.queue.dead_letters(JobState::Failed, Some(id), 10).await.unwrap().is_empty());
    assert!(running.queue.dead_letters(JobState::Unknown, None, 10).await.unwrap().is_empty());
    assert_eq!(running.queue.replay(id).await.unwrap(), Some(Ok(())));
    let job = running.until(id, JobState::Completed).await;
    let outcomes: Vec<_> = job.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [AttemptOutcome::Failed, AttemptOutcome::Replayed, AttemptOutcome::Completed]);
    assert_eq!(running.queue.replay(id).await.unwrap(), Some(Err(JobState::Completed)));
    assert_eq!(running.queue.replay(running.queue.new_id(1)).await.unwrap(), None);
    let ledger = running.ledger().await;
    assert_eq!((ledger.failed, ledger.completed), (0, 1));
    running.stop().await;
}

#[tokio::test]
async fn a_person_decides_on_an_unknown_job_once() {
    let database = Database::new().await;
    let mut hold = config();
    hold.retry.on_unknown = OnUnknown::Hold;
    let running = Running::started(&database, hold, telling(&[UNKNOWN, UNKNOWN, UNKNOWN])).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let enqueue = running.job();
        ids.push(enqueue.id);
        running.queue.enqueue(enqueue).await.unwrap();
    }
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
    let outcomes: Vec<_> = job.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [AttemptOutcome::Unknown, AttemptOutcome::Replayed, AttemptOutcome::Completed]);
    let ledger = running.ledger().await;
    assert_eq!((ledger.completed, ledger.failed, ledger.unknown), (2, 1, 0));
    running.stop().await;
}

#[tokio::test]
async fn failed_jobs_are_replayed_by_what_they_have_in_common() {
    let database = Database::new().await;
    let other = Outcome::Failed { reason: "other" };
    let mut outcomes = vec![FAILED; 5];
    outcomes.extend(vec![other; 2]);
    let running = Running::started(&database, workers(1), telling(&outcomes)).await;
    for _ in 0..7 {
        running.queue.enqueue(running.job()).await.unwrap();
    }
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
    running.stop().await;
}

#[tokio::test]
async fn a_group_is_found_and_cancelled_as_one() {
    let database = Database::new().await;
    let (script, gate) = gated();
    let running = Running::started(&database, workers(2), script).await;
    let group = running.jobs(5);
    let id = group.id;
    running.queue.enqueue(group).await.unwrap();
    running.attempted(2).await;
    let (cancelled, jobs) = running.queue.cancel(id).await.unwrap().unwrap();
    assert_eq!((cancelled, jobs.len()), (3, 5));
    assert!(jobs.iter().all(|job| job.group == id));
    assert!(running.queue.cancel(running.queue.new_id(1)).await.unwrap().is_none());
    assert!(running.queue.find(id.part(1)).await.unwrap().is_none(), "a part is not a group");
    gate.add_permits(10);
    running.wait("not all ended", async || running.ledger().await.queued() == 0).await;
    assert_eq!(running.ledger().await.cancelled, 3);
    running.stop().await;
}

#[tokio::test]
async fn retention_deletes_what_is_finished_and_the_ledger_keeps_counting_it() {
    let database = Database::new().await;
    let mut short = config();
    short.queue.retention = Duration::from_millis(100);
    let running = Running::started(&database, short, Script::default()).await;
    let later = Enqueue { run_at: Some(running.queue.store().now_ms() + 60_000), ..running.job() };
    let kept = later.id;
    running.queue.enqueue(later).await.unwrap();
    let enqueue = running.job();
    let id = enqueue.id;
    running.queue.enqueue(enqueue).await.unwrap();
    let gone = async || running.find(id).await.is_empty() && running.ledger_counts().await.1 == 1;
    running.wait("it was never deleted", gone).await;
    assert_eq!(running.ledger_counts().await, (2, 1));
    assert_eq!(running.find(kept).await.len(), 1);
    running.stop().await;
}

impl Running {
    async fn ledger_counts(&self) -> (i64, i64) {
        let ledger = self.ledger().await;
        (ledger.accepted, ledger.completed)
    }
}
