//! Running: attempts, deadlines, priorities, channels, clocks, stops.

use super::*;
use chassis_queue::METRICS;
use chassis_telemetry::{Exposition, Metrics};

#[tokio::test]
async fn a_failed_attempt_is_repeated_with_its_history_until_the_maximum() {
    let script = telling(&[RETRY, UNKNOWN, DONE, RETRY, RETRY, RETRY, RETRY]);
    let running = Running::alone(config(), script).await;
    let id = running.accept(running.job()).await;
    let job = running.until(id, JobState::Completed).await;
    assert_eq!(outcomes(&job), [AttemptOutcome::Retry, AttemptOutcome::Unknown, AttemptOutcome::Completed]);
    let numbers: Vec<_> = running.script.attempts.lock().iter().map(|(_, attempt)| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3]);

    let id = running.accept(running.job()).await;
    let job = running.until(id, JobState::Failed).await;
    assert_eq!((job.attempts.len(), job.reason.as_deref()), (4, Some("status_503")));
    assert_eq!(running.ledger().await.failed, 1);
}

#[tokio::test]
async fn a_snoozed_job_costs_no_attempt() {
    let snooze = Outcome::Snooze { reason: "status_429", after: Some(Duration::from_millis(10)) };
    let mut outcomes = vec![snooze; 6];
    outcomes.push(Outcome::Completed { receipt: Some("r1".to_owned()) });
    let running = Running::alone(config(), telling(&outcomes)).await;
    let id = running.accept(running.job()).await;
    let job = running.until(id, JobState::Completed).await;
    assert!(running.script.attempts.lock().iter().all(|(_, attempt)| attempt.number == 1));
    assert_eq!((running.attempts(), job.attempts.len()), (7, 2), "a run of snoozes is one entry");
    assert_eq!(job.attempts[1].receipt.as_deref(), Some("r1"));
}

#[tokio::test]
async fn an_attempt_of_unknown_outcome_waits_for_a_person_under_hold_and_after_the_allowed_repeats() {
    let database = Database::new().await;
    let running = Running::started(&database, hold(), telling(&[UNKNOWN])).await;
    let id = running.accept(running.job()).await;
    running.until(id, JobState::Unknown).await;
    running.stop().await;
    let mut once = config();
    once.retry.max_unknown = 1;
    let running = Running::started(&database, once, telling(&[UNKNOWN, UNKNOWN])).await;
    let id = running.accept(running.job()).await;
    assert_eq!(running.until(id, JobState::Unknown).await.attempts.len(), 2);
    assert_eq!(running.ledger().await.unknown, 2);
}

#[tokio::test]
async fn a_panic_is_an_unknown_outcome() {
    let running = Running::alone(hold(), Script { panics: true, ..Script::default() }).await;
    let id = running.accept(running.job()).await;
    assert_eq!(running.until(id, JobState::Unknown).await.reason.as_deref(), Some("panic"));
}

#[tokio::test]
async fn no_attempt_starts_after_the_deadline() {
    let database = Database::new().await;
    let mut running = Running::open(&database, config(), Script::default()).await;
    let id = running.accept(Enqueue { not_after: running.queue.store().now_ms() - 1, ..running.job() }).await;
    running.start();
    running.until(id, JobState::Expired).await;
    assert_eq!((running.attempts(), running.ledger().await.expired), (0, 1));
}

#[tokio::test]
async fn urgent_jobs_do_not_wait_behind_a_backlog_of_bulk() {
    let (script, gate) = gated();
    let running = Running::alone(workers(1), script).await;
    for _ in 0..100 {
        running.queue.enqueue(Enqueue { priority: Priority::Bulk, ..running.job() }).await.unwrap();
    }
    running.attempted(1).await;
    let id = running.accept(Enqueue { priority: Priority::Urgent, ..running.job() }).await;
    gate.add_permits(5);
    running.until(id, JobState::Completed).await;
    assert!(running.attempts() <= 6, "it was among the next");
    gate.add_permits(200);
}

#[tokio::test]
async fn bulk_leaves_a_worker_to_an_urgent_job_and_takes_the_others_again() {
    let (script, gate) = gated();
    let running = Running::alone(config(), script).await;
    for _ in 0..30 {
        running.queue.enqueue(Enqueue { priority: Priority::Bulk, ..running.job() }).await.unwrap();
    }
    running.attempted(3).await;
    let id = running.accept(Enqueue { priority: Priority::Urgent, ..running.job() }).await;
    running.attempted(4).await;
    assert_eq!(running.script.attempts.lock()[3].1.id, id, "four workers, all of them busy");
    gate.add_permits(1000);
    running.wait("bulk was left behind", async || running.ledger().await.completed == 31).await;
}

#[tokio::test]
async fn every_priority_gets_its_share() {
    let database = Database::new().await;
    let mut running = Running::open(&database, workers(1), Script::default()).await;
    for priority in Priority::ALL {
        let jobs = Enqueue { priority, ..running.jobs(100) };
        running.queue.enqueue(jobs).await.unwrap();
    }
    running.start();
    running.attempted(160).await;
    let attempts = running.script.attempts.lock().clone();
    let share = |of| attempts.iter().take(160).filter(|(_, attempt)| attempt.priority == of).count();
    let [urgent, normal, bulk] = Priority::ALL.map(share);
    assert!(urgent > normal && normal > bulk && bulk > 0, "{urgent} {normal} {bulk}");
    running.wait("not all ran", async || running.ledger().await.completed == 300).await;
}

#[tokio::test]
async fn a_channel_whose_workers_are_all_busy_delays_no_other() {
    let (script, gate) = gated();
    let running = Running::alone(config(), Script { gated_channel: Some("other"), ..script }).await;
    for _ in 0..20 {
        running.queue.enqueue(Enqueue { channel: "other", ..running.job() }).await.unwrap();
    }
    running.attempted(4).await;
    for _ in 0..20 {
        let enqueue = running.job();
        let id = enqueue.id;
        running.queue.enqueue(enqueue).await.unwrap();
        running.until(id, JobState::Completed).await;
    }
    gate.add_permits(100);
}

#[tokio::test]
async fn new_jobs_of_one_channel_put_off_no_retry_of_another() {
    let running = Running::alone(config(), telling(&[RETRY])).await;
    let id = running.accept(Enqueue { channel: "other", ..running.job() }).await;
    running.attempted(1).await;
    let busy = async {
        loop {
            running.queue.enqueue(running.job()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        job = running.until(id, JobState::Completed) => assert_eq!(job.attempts.len(), 2),
        _ = busy => {}
    }
}

#[tokio::test]
async fn what_a_stop_did_not_begin_stays_queued_and_runs_after_the_next_start() {
    let database = Database::new().await;
    let (script, gate) = gated();
    let running = Running::started(&database, workers(2), script).await;
    let ids = running.accept_many(50).await;
    running.attempted(2).await;
    running.queue.stop();
    let script = Arc::clone(&running.script);
    gate.add_permits(2);
    running.stop().await;
    assert_eq!(script.attempts.lock().len(), 2, "no attempt began after the stop");

    let running = Running::started(&database, config(), Script::default()).await;
    for id in ids {
        running.until(id, JobState::Completed).await;
    }
    assert_eq!(running.attempts(), 48);
    assert_eq!(running.ledger().await.completed, 50);
}

#[tokio::test]
async fn a_long_backlog_runs_once_each() {
    let database = Database::new().await;
    let mut config = backlog(100_000);
    config.queue.workers = 64;
    let mut running = Running::open(&database, config, Script::default()).await;
    for _ in 0..50 {
        running.queue.enqueue(running.jobs(100)).await.unwrap();
    }
    running.start();
    running.wait("not all ran", async || running.ledger().await.completed == 5000).await;
    let attempts: std::collections::HashSet<_> =
        running.script.attempts.lock().iter().map(|(_, attempt)| attempt.id).collect();
    assert_eq!((attempts.len(), running.attempts()), (5000, 5000));
}

#[tokio::test]
async fn facts_are_told_once_each_after_their_commit() {
    let running = Running::alone(config(), telling(&[RETRY])).await;
    let id = running.accept(running.job()).await;
    running.until(id, JobState::Completed).await;
    let script = Arc::clone(&running.script);
    running.stop().await;
    let facts = script.facts.lock();
    let count = |is: fn(&Fact) -> bool| facts.iter().filter(|fact| is(fact)).count();
    assert_eq!(count(|fact| matches!(fact, Fact::Accepted { jobs: 1, .. })), 1);
    assert_eq!(count(|fact| matches!(fact, Fact::Attempted { outcome: AttemptOutcome::Retry, .. })), 1);
    assert_eq!(count(|fact| matches!(fact, Fact::Attempted { outcome: AttemptOutcome::Completed, .. })), 1);
    let finished =
        |fact: &Fact| matches!(fact, Fact::Finished { state: JobState::Completed, end_to_end: Some(_), .. });
    assert_eq!(count(finished), 1);
}

#[tokio::test]
async fn a_job_of_another_release_waits_and_a_damaged_one_fails() {
    let database = Database::new().await;
    let mut running = Running::open(&database, config(), Script::default()).await;
    let (other, damaged) = (running.job(), running.job());
    let ids = (other.id, damaged.id);
    running.queue.enqueue(other).await.unwrap();
    running.queue.enqueue(damaged).await.unwrap();
    let mut tx = running.queue.store().begin().await.unwrap();
    for (id, payload) in [(ids.0, r#"{"newer":1}"#), (ids.1, "{")] {
        let update = sqlx::query("UPDATE job SET payload = $1 WHERE id = $2").bind(payload).bind(id.number());
        update.execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    running.start();
    assert_eq!(running.until(ids.0, JobState::Retrying).await.reason.as_deref(), Some("other_release"));
    assert_eq!(running.until(ids.1, JobState::Failed).await.reason.as_deref(), Some("damaged"));
    assert_eq!(running.attempts(), 0);
}

#[tokio::test]
async fn lag_and_gauges_follow_what_the_store_holds() {
    let database = Database::new().await;
    let mut running = Running::open(&database, config(), Script::default()).await;
    running.queue.enqueue(running.jobs(3)).await.unwrap();
    running.start();
    running.wait("it is still behind", async || running.ledger().await.completed == 3).await;
    running.wait("lag stays", async || running.queue.lag().waits == Duration::ZERO).await;
    let gauges = || ["accepted", "done", "queued"].map(|state| running.ledger_gauge(state));
    running.wait("gauges stay", async || gauges() == [3.0, 3.0, 0.0]).await;
}

#[tokio::test]
async fn a_job_that_is_lost_is_missing_in_the_ledgers_gauges() {
    let running = Running::alone(config(), Script::default()).await;
    let tomorrow = running.queue.store().now_ms() + 86_400_000;
    running.accept(Enqueue { run_at: Some(tomorrow), not_after: i64::MAX, ..running.job() }).await;
    running.wait("it is never counted", async || running.ledger_gauge("queued") == 1.0).await;
    running.execute("DELETE FROM job").await;
    running.wait("nobody notices", async || running.ledger_gauge("queued") == 0.0).await;
    assert_eq!(running.ledger_gauge("accepted"), 1.0);
}

impl Running {
    /// The ledger's gauge for a state, as it is scraped.
    fn ledger_gauge(&self, state: &str) -> f64 {
        let (shown, recorder) = Metrics::new(&[METRICS], || None).unwrap();
        metrics::with_local_recorder(&recorder, || self.queue.measure());
        let (page, state) = (shown.render(Exposition::Text), format!("state=\"{state}\""));
        let line = page.lines().find(|line| line.starts_with(NAMES.ledger_metric) && line.contains(&state));
        line.and_then(|line| line.rsplit(' ').next()).unwrap().parse().unwrap()
    }
}

#[tokio::test]
async fn what_waits_for_a_paused_channel_is_not_behind() {
    let (script, gate) = gated();
    let running = Running::alone(workers(1), script).await;
    running.accept_many(2).await;
    running.wait("one never waited", async || running.queue.lag().waits > Duration::ZERO).await;
    running.script.paused.store(true, Ordering::Relaxed);
    running.wait("it still waits", async || running.queue.lag().waits == Duration::ZERO).await;
    running.script.paused.store(false, Ordering::Relaxed);
    gate.add_permits(2);
    running.wait("not all ran", async || running.ledger().await.completed == 2).await;
}
