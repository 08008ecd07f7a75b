//! What the queue promises of batches: whole or nothing, each member's notification once, and what is not
//! expanded yet counted with the rest.

use crate::support::queue::{PATIENCE, Running, Script, config, gated};
use epro_notify::platform::{
    queue::{
        Batch, BatchRecord, DeadLetters, Fact, JobId, Priority, Refused, SCHEMA, Status, Submission,
        Submitted, config::QueueConfig,
    },
    store::{LedgerState, Operation, Purpose, Schema, Store},
    time::now_ms,
};
use std::time::Duration;
use tracing::Span;

fn large() -> QueueConfig {
    QueueConfig { max_backlog: 10_000, ..config() }
}

async fn accept(running: &Running, batch: Batch) -> JobId {
    let id = batch.id;
    assert!(matches!(running.queue.submit_batch(batch, &Span::none()).await, Ok(Submitted::Accepted)));
    id
}

/// Delivered if any is, else the worst in the order of the words' codes: enough for these tests.
fn overall(statuses: &[Status]) -> Status {
    if statuses.contains(&Status::Delivered) { Status::Delivered } else { statuses[0] }
}

async fn shown(running: &Running, id: JobId) -> BatchRecord {
    running.queue.batch(id, overall).await.unwrap().expect("no such batch")
}

fn count(record: &BatchRecord, of: Status) -> usize {
    record.counts.iter().filter(|(status, _)| *status == of).map(|(_, count)| count).sum()
}

/// Waits until so many of its notifications are delivered.
async fn delivered(running: &Running, id: JobId, notifications: usize) -> BatchRecord {
    let reached = async {
        loop {
            let record = shown(running, id).await;
            if count(&record, Status::Delivered) >= notifications {
                return record;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("the batch never got there")
}

#[tokio::test]
async fn every_member_becomes_one_notification_with_ids_and_traces_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::started(folder.path(), large(), Script::default()).await;
    let id = accept(&running, running.batch(&[1; 300])).await;
    assert_eq!(running.ledger(LedgerState::Accepted), 300, "accepted with the batch, expanded or not");
    let record = delivered(&running, id, 300).await;
    assert_eq!((record.accepted, record.skipped, record.counts.len()), (300, 7, 1));
    let mut attempts: Vec<JobId> = running.script.attempts.lock().iter().map(|job| job.id).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, (1..=300).map(|part| id.part(part)).collect::<Vec<_>>());
    let mut traces = vec![record.trace.trace_id()];
    for part in 1..=300 {
        let job = &running.queue.find(id.part(part)).await.unwrap()[0];
        assert_eq!((job.notification, job.channel, job.priority), (id.part(part), "test", Priority::Bulk));
        traces.push(job.trace.trace_id());
    }
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), 301);
    let jobs = |fact: &Fact| if let Fact::Accepted { jobs, .. } = fact { *jobs } else { 0 };
    assert_eq!(running.script.facts.lock().iter().map(jobs).sum::<usize>(), 300);
    running.stop().await;
}

#[tokio::test]
async fn a_member_of_several_jobs_is_one_notification() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::started(folder.path(), large(), Script::default()).await;
    let id = accept(&running, running.batch(&[3, 1, 2])).await;
    let record = delivered(&running, id, 3).await;
    assert_eq!((record.accepted, count(&record, Status::Delivered)), (3, 3));
    for (first, jobs) in [(1, 3), (4, 1), (5, 2)] {
        let found = running.queue.find(id.part(first)).await.unwrap();
        assert_eq!(found.len(), jobs);
        assert!(found.iter().all(|job| job.notification == id.part(first)), "{found:?}");
    }
    running.stop().await;
    let running = Running::open(folder.path(), large(), Script::default()).await;
    assert_eq!(running.ledger(LedgerState::Delivered), 6, "the ledger counts jobs");
    running.stop().await;
}

#[tokio::test]
async fn a_batch_is_accepted_whole_or_not_at_all_and_takes_its_room_before_it_is_expanded() {
    let folder = tempfile::tempdir().unwrap();
    // Never started, so nothing is expanded.
    let running =
        Running::open(folder.path(), QueueConfig { max_backlog: 10, ..config() }, Script::default()).await;
    let refused = running.queue.submit_batch(running.batch(&[1; 11]), &Span::none()).await;
    assert!(matches!(refused, Err(Refused::BacklogFull { .. })), "{refused:?}");
    assert_eq!(running.ledger(LedgerState::Accepted), 0);
    accept(&running, running.batch(&[1; 10])).await;
    assert!(matches!(running.submit(running.submission()).await, Err(Refused::BacklogFull { .. })));
    let later = Batch { send_at: Some(now_ms() + 3_600_000), ..running.batch(&[1; 1000]) };
    accept(&running, later).await;
    let more = Batch { send_at: Some(now_ms() + 3_600_000), ..running.batch(&[1]) };
    let refused = running.queue.submit_batch(more, &Span::none()).await;
    assert!(matches!(refused, Err(Refused::BacklogFull { .. })), "the bound on scheduled ones is 1,000");
    running.stop().await;
    // The same bounds hold after a restart, of what is still not expanded.
    let running =
        Running::open(folder.path(), QueueConfig { max_backlog: 10, ..config() }, Script::default()).await;
    assert!(matches!(running.submit(running.submission()).await, Err(Refused::BacklogFull { .. })));
    assert_eq!(running.ledger(LedgerState::Queued), 1010);
    running.stop().await;
}

#[tokio::test]
async fn a_batch_for_later_is_expanded_when_its_time_comes() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = Running::open(folder.path(), large(), Script::default()).await;
    let send_at = now_ms() + 1500;
    let id = accept(&running, Batch { send_at: Some(send_at), ..running.batch(&[1; 200]) }).await;
    running.start();
    let record = shown(&running, id).await;
    assert_eq!((count(&record, Status::Accepted), record.first_due), (200, send_at));
    assert_eq!(running.queue.find(id.part(1)).await.unwrap().len(), 0);
    delivered(&running, id, 200).await;
    assert!(now_ms() >= send_at);
    assert_eq!(running.script.attempts.lock().len(), 200);
    running.stop().await;
}

#[tokio::test]
async fn what_is_not_expanded_at_the_end_is_expanded_after_the_next_start_under_the_same_ids() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::open(folder.path(), large(), Script::default()).await;
    let id = accept(&running, running.batch(&[1; 1000])).await;
    running.stop().await;
    let mut running = Running::open(folder.path(), large(), Script::default()).await;
    assert!(running.queue.allocate(1) > id.part(1000), "the ids of a batch are taken");
    running.start();
    delivered(&running, id, 1000).await;
    assert_eq!(running.script.attempts.lock().len(), 1000);
    assert_eq!(running.ledger(LedgerState::Delivered), 1000);
    running.stop().await;
}

#[tokio::test]
async fn a_batch_that_another_release_wrote_waits_and_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::started(folder.path(), large(), Script::default()).await;
    let other = accept(&running, Batch { template: b"other".to_vec(), ..running.batch(&[1; 3]) }).await;
    let id = accept(&running, running.batch(&[1; 3])).await;
    delivered(&running, id, 3).await;
    let record = shown(&running, other).await;
    assert_eq!(count(&record, Status::Accepted), 3);
    assert_eq!(running.ledger(LedgerState::Queued), 3);
    running.stop().await;
}

#[tokio::test]
async fn bulk_leaves_a_worker_to_an_urgent_job() {
    let folder = tempfile::tempdir().unwrap();
    let (script, gate) = gated();
    let running = Running::started(folder.path(), large(), script).await;
    accept(&running, running.batch(&[1; 50])).await;
    running.attempted(3).await;
    let urgent = Submission { priority: Priority::Urgent, ..running.submission() };
    let id = urgent.id;
    running.submit(urgent).await.unwrap();
    running.attempted(4).await;
    assert_eq!(running.script.attempts.lock()[3].id, id, "four workers, all of them at the gateway");
    gate.add_permits(1000);
    running.stop().await;
}

#[tokio::test]
async fn a_cancelled_job_of_a_batch_is_a_job_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let (script, gate) = gated();
    let running = Running::started(folder.path(), large(), script).await;
    let id = accept(&running, running.batch(&[1; 20])).await;
    running.attempted(3).await;
    let (cancelled, jobs) = running.queue.cancel(id.part(20)).await.unwrap();
    assert_eq!((cancelled, jobs[0].status), (1, Status::Cancelled));
    gate.add_permits(1000);
    let record = delivered(&running, id, 19).await;
    assert_eq!(count(&record, Status::Cancelled), 1);
    assert!(running.queue.dead_letters(DeadLetters::Dead, None, 10).await.unwrap().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_batch_is_forgotten_with_its_last_job() {
    let folder = tempfile::tempdir().unwrap();
    let config = QueueConfig { retention: Duration::from_secs(1), ..large() };
    let running = Running::started(folder.path(), config, Script::default()).await;
    let id = accept(&running, running.batch(&[1; 3])).await;
    let later = Batch { send_at: Some(now_ms() + 3_600_000), ..running.batch(&[1; 3]) };
    let later = accept(&running, later).await;
    let gone = async {
        while running.queue.batch(id, overall).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("it is kept");
    assert_eq!(count(&shown(&running, later).await, Status::Accepted), 3, "what is to come is kept");
    running.stop().await;
}

#[tokio::test]
async fn a_store_of_the_release_before_is_taken_over_with_its_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let before = Schema { steps: &SCHEMA.steps[..1], ..SCHEMA };
    let store = Store::open(&folder.path().join("test.db"), true, PATIENCE, &[before]).unwrap();
    let write = store.write(Purpose::of(Operation::Other), |tx| {
        tx.ledger().accepted(1);
        tx.execute(
            "INSERT INTO job (id, part, parts, sync, channel, priority, status, attempts, first_due, at, not_after, trace, payload) \
             VALUES (77, 0, 1, 0, 'test', 1, 2, 0, 1, 1, 9000000000000, $1, x'00')",
            &[[1; 25][..].into()],
        )
    });
    assert_eq!(write.await.unwrap().value, 1);
    tokio::task::spawn_blocking(move || store.close()).await.unwrap();
    let running = Running::started(folder.path(), large(), Script::default()).await;
    let id: JobId = "000000000002d".parse().unwrap();
    running.until(id, Status::Delivered).await;
    let batch = accept(&running, running.batch(&[1; 3])).await;
    delivered(&running, batch, 3).await;
    running.stop().await;
    // And the release before does not take what it could not expand.
    assert!(Store::open(&folder.path().join("test.db"), true, PATIENCE, &[before]).is_err());
}
