//! Batches: whole or nothing, each member's group once, and what is not expanded yet counted with the rest.

use super::*;
use chassis_queue::{Batch, BatchRecord, Enqueued, Members};

#[derive(Serialize)]
struct To {
    to: usize,
}

pub fn batch(running: &Running, groups: &[usize]) -> Batch<Job> {
    let mut members = Members::default();
    for jobs in groups {
        members.push(&(0..*jobs).map(|to| To { to }).collect::<Vec<_>>()).unwrap();
    }
    let id = running.queue.new_id(1);
    let enqueue = Enqueue {
        priority: Priority::Bulk,
        not_after: running.queue.store().now_ms() + 7_200_000,
        answer: answer(id, &[]),
        ..Enqueue::new(id, "test", Vec::new())
    };
    Batch { enqueue, template: r#"{"text":"template"}"#.to_owned(), members, skipped: 7 }
}

pub fn later(mut batch: Batch<Job>, run_at: i64) -> Batch<Job> {
    batch.enqueue.run_at = Some(run_at);
    batch
}

fn large() -> Config {
    backlog(10_000)
}

pub async fn accept(running: &Running, batch: Batch<Job>) -> JobId {
    let id = batch.enqueue.id;
    assert_eq!(running.queue.enqueue_batch(batch).await, Ok(Enqueued::New));
    id
}

fn overall(states: &[JobState]) -> JobState {
    if states.contains(&JobState::Completed) { JobState::Completed } else { states[0] }
}

async fn shown(running: &Running, id: JobId) -> BatchRecord {
    running.queue.batch(id, overall).await.unwrap().expect("no such batch")
}

fn count(record: &BatchRecord, of: JobState) -> usize {
    record.counts.iter().filter(|(state, _)| *state == of).map(|(_, count)| count).sum()
}

pub async fn completed(running: &Running, id: JobId, groups: usize) -> BatchRecord {
    running
        .wait("the batch never got there", async || {
            count(&shown(running, id).await, JobState::Completed) >= groups
        })
        .await;
    shown(running, id).await
}

#[tokio::test]
async fn every_member_becomes_one_job_with_an_id_and_a_trace_of_its_own() {
    let running = Running::alone(large(), Script::default()).await;
    let id = accept(&running, batch(&running, &[1; 300])).await;
    assert_eq!(running.ledger().await.accepted, 300, "accepted with the batch, expanded or not");
    let record = completed(&running, id, 300).await;
    assert_eq!((record.info.groups, record.info.skipped, record.counts.len()), (300, 7, 1));
    let attempts = running.script.attempts.lock().clone();
    let mut traces = std::collections::HashSet::from([record.info.trace().trace_id()]);
    for (job, attempt) in &attempts {
        assert_eq!((job.text.as_str(), attempt.batch), ("template", Some(id)));
        let record = &running.find(attempt.group).await[0];
        assert_eq!((record.id, record.channel, record.priority), (attempt.id, "test", Priority::Bulk));
        traces.insert(record.trace.trace_id());
    }
    assert_eq!((attempts.len(), traces.len()), (300, 301));
    let jobs = |fact: &Fact| if let Fact::Accepted { jobs, .. } = fact { *jobs } else { 0 };
    assert_eq!(running.script.facts.lock().iter().map(jobs).sum::<usize>(), 300);
}

#[tokio::test]
async fn no_chunk_is_lost_however_the_database_plans_to_take_one() {
    let running = Running::alone(large(), Script::default()).await;
    let first = accept(&running, batch(&running, &[1; 10])).await;
    completed(&running, first, 10).await;
    // As a vacuum does by itself: from now on the table is known to be empty.
    running.execute("ANALYZE chunk").await;
    let second = accept(&running, batch(&running, &[1; 300])).await;
    completed(&running, second, 300).await;
}

#[tokio::test]
async fn a_member_of_several_jobs_is_one_group() {
    let running = Running::alone(large(), Script::default()).await;
    let id = accept(&running, batch(&running, &[3, 1, 2])).await;
    let record = completed(&running, id, 3).await;
    assert_eq!((record.info.groups, count(&record, JobState::Completed)), (3, 3));
    running.wait("not all ran", async || running.ledger().await.completed == 6).await;
    let groups: std::collections::HashSet<_> =
        running.script.attempts.lock().iter().map(|(_, attempt)| attempt.group).collect();
    assert_eq!(groups.len(), 3);
}

#[tokio::test]
async fn a_batch_is_accepted_whole_or_not_at_all_and_takes_its_room_before_it_is_expanded() {
    let database = Database::new().await;
    // Never started, so nothing is expanded.
    let running = Running::open(&database, backlog(10), Script::default()).await;
    let refused = running.queue.enqueue_batch(batch(&running, &[1; 11])).await;
    assert!(matches!(refused, Err(Refused::BacklogFull { .. })), "{refused:?}");
    assert_eq!(running.ledger().await.accepted, 0);
    accept(&running, batch(&running, &[1; 10])).await;
    assert!(matches!(running.queue.enqueue(running.job()).await, Err(Refused::BacklogFull { .. })));
    let tomorrow = running.queue.store().now_ms() + 3_600_000;
    accept(&running, later(batch(&running, &[1; 1000]), tomorrow)).await;
    let refused = running.queue.enqueue_batch(later(batch(&running, &[1]), tomorrow)).await;
    assert!(matches!(refused, Err(Refused::BacklogFull { .. })), "the bound on scheduled ones is 1,000");
    running.stop().await;
    // The same bounds hold after a restart, of what is still not expanded.
    let running = Running::open(&database, backlog(10), Script::default()).await;
    assert!(matches!(running.queue.enqueue(running.job()).await, Err(Refused::BacklogFull { .. })));
    assert_eq!(queued(running.ledger().await), 1010);
}

#[tokio::test]
async fn a_repeated_batch_gets_the_first_answer() {
    let database = Database::new().await;
    let running = Running::open(&database, large(), Script::default()).await;
    let keyed = || {
        let mut batch = batch(&running, &[1; 5]);
        batch.enqueue.key = Some(Key { scope: [1; 32], digest: [1; 32] });
        batch
    };
    let first = keyed();
    let expected = first.enqueue.answer.clone();
    let (first, second) =
        tokio::join!(running.queue.enqueue_batch(first), running.queue.enqueue_batch(keyed()));
    assert_eq!((first, second), (Ok(Enqueued::New), Ok(Enqueued::Replayed(expected))));
    assert_eq!(running.ledger().await.accepted, 5);
}

#[tokio::test]
async fn a_batch_for_later_is_expanded_when_its_time_comes() {
    let database = Database::new().await;
    let mut running = Running::open(&database, large(), Script::default()).await;
    let run_at = running.queue.store().now_ms() + 1500;
    let id = accept(&running, later(batch(&running, &[1; 200]), run_at)).await;
    running.start();
    let record = shown(&running, id).await;
    assert_eq!((count(&record, JobState::Accepted), record.info.first_due), (200, run_at));
    completed(&running, id, 200).await;
    assert!(running.queue.store().now_ms() >= run_at);
    assert_eq!(running.attempts(), 200);
}

#[tokio::test]
async fn what_is_not_expanded_at_the_end_is_expanded_after_the_next_start() {
    let database = Database::new().await;
    let running = Running::started(&database, large(), Script::default()).await;
    let id = accept(&running, batch(&running, &[1; 1000])).await;
    running.attempted(1).await;
    running.kill().await;
    let mut recovers = large();
    recovers.retry.max_unknown = 100;
    let running = Running::started(&database, recovers, Script::default()).await;
    completed(&running, id, 1000).await;
    assert_eq!(running.ledger().await.completed, 1000);
}

#[tokio::test]
async fn ninety_thousand_members_are_accepted_at_once() {
    let database = Database::new().await;
    let running = Running::open(&database, backlog(100_000), Script::default()).await;
    let batch = batch(&running, &[1; 90_000]);
    let begun = std::time::Instant::now();
    let id = accept(&running, batch).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(count(&shown(&running, id).await, JobState::Accepted), 90_000);
    assert_eq!(queued(running.ledger().await), 90_000);
}

#[tokio::test]
async fn a_batch_is_forgotten_with_its_last_job() {
    let mut short = large();
    short.queue.retention = Duration::from_secs(1);
    let running = Running::alone(short, Script::default()).await;
    let id = accept(&running, batch(&running, &[1; 3])).await;
    let tomorrow = running.queue.store().now_ms() + 3_600_000;
    let later = accept(&running, later(batch(&running, &[1; 3]), tomorrow)).await;
    let gone = async || running.queue.batch(id, overall).await.unwrap().is_none();
    running.wait("it is kept", gone).await;
    assert_eq!(count(&shown(&running, later).await, JobState::Accepted), 3, "what is to come is kept");
}
