//! Accepting: bounds, keys, guards, due times, synchronous calls.

use super::*;
use chassis_queue::{Enqueued, Statement, Value};

#[tokio::test]
async fn an_accepted_job_runs_once_and_is_accounted_for() {
    let running = Running::alone(config(), Script::default()).await;
    let enqueue = running.job();
    let (id, job) = (enqueue.id, enqueue.jobs[0].clone());
    assert_eq!(running.queue.enqueue(enqueue).await, Ok(Enqueued::New));
    let record = running.until(id, JobState::Completed).await;
    assert_eq!(record.attempts.len(), 1);
    assert_eq!(
        (record.attempts[0].outcome, record.attempts[0].provider.as_str()),
        (AttemptOutcome::Completed, "script")
    );
    assert_eq!(serde_json::from_str::<Job>(&record.payload).unwrap(), job);
    assert_eq!(running.script.attempts.lock()[0].0, job);
    let ledger = running.ledger().await;
    assert_eq!((ledger.accepted, ledger.completed, queued(ledger)), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_of_one_moment_are_all_stored() {
    let running = Running::alone(config(), Script::default()).await;
    let enqueues: Vec<_> = (0..200).map(|_| running.jobs(2)).collect();
    let results =
        futures_util::future::join_all(enqueues.into_iter().map(|enqueue| running.queue.enqueue(enqueue)))
            .await;
    assert!(results.iter().all(|result| *result == Ok(Enqueued::New)), "{results:?}");
    running.wait("not all ran", async || running.ledger().await.completed == 400).await;
    assert_eq!(running.attempts(), 400);
}

#[tokio::test]
async fn a_full_backlog_refuses_the_next_job_and_not_one_earlier() {
    let (script, gate) = gated();
    let running = Running::alone(backlog(10), script).await;
    for _ in 0..10 {
        assert_eq!(running.queue.enqueue(running.job()).await, Ok(Enqueued::New));
    }
    let refused = running.queue.enqueue(running.job()).await;
    assert!(
        matches!(refused, Err(Refused::BacklogFull { retry_after }) if retry_after >= Duration::from_secs(1)),
        "{refused:?}"
    );
    let urgent = || Enqueue { priority: Priority::Urgent, ..running.job() };
    assert!(running.queue.enqueue(urgent()).await.is_ok(), "urgent may exceed it by a tenth");
    assert!(running.queue.enqueue(urgent()).await.is_err());
    assert_eq!(running.ledger().await.accepted, 11, "what was refused left nothing behind");
    gate.add_permits(100);
}

#[tokio::test]
async fn jobs_that_wait_for_a_retry_still_fill_the_backlog() {
    let script = telling(&[Outcome::Retry { reason: "x", after: Some(Duration::from_secs(600)) }]);
    let running = Running::alone(backlog(1), script).await;
    let id = running.accept(running.job()).await;
    running.until(id, JobState::Retrying).await;
    assert!(matches!(running.queue.enqueue(running.job()).await, Err(Refused::BacklogFull { .. })));
    assert_eq!(running.queue.cancel(id).await.unwrap().unwrap().0, 1);
    assert!(running.queue.enqueue(running.job()).await.is_ok());
}

#[tokio::test]
async fn room_is_free_again_for_exactly_as_many_as_have_finished() {
    let running = Running::alone(backlog(100), telling(&vec![RETRY; 200])).await;
    running.accept_many(100).await;
    running.wait("not all finished", async || queued(running.ledger().await) == 0).await;
    running
        .wait("a job that is gone takes room", async || {
            running.queue.enqueue(running.jobs(100)).await.is_ok()
        })
        .await;
}

#[tokio::test]
async fn a_repeated_key_gets_the_first_answer_also_in_flight_and_after_a_restart() {
    let database = Database::new().await;
    let running = Running::open(&database, config(), Script::default()).await;
    let first = running.keyed(1, 1);
    let expected = first.answer.clone();
    let others: Vec<_> = (0..8).map(|_| running.keyed(1, 1)).collect();
    let (one, rest) = tokio::join!(
        running.queue.enqueue(first),
        futures_util::future::join_all(others.into_iter().map(|other| running.queue.enqueue(other)))
    );
    assert_eq!(one, Ok(Enqueued::New));
    for repeat in rest {
        assert_eq!(repeat, Ok(Enqueued::Replayed(expected.clone())));
    }
    assert_eq!(running.queue.enqueue(running.keyed(1, 2)).await, Err(Refused::KeyReused));
    assert_eq!(running.ledger().await.accepted, 1);
    running.stop().await;

    let again = Running::open(&database, config(), Script::default()).await;
    assert_eq!(again.queue.enqueue(again.keyed(1, 1)).await, Ok(Enqueued::Replayed(expected.clone())));
    let key = again.keyed(1, 1).key.unwrap();
    assert_eq!(again.queue.repeated(&key).await, Ok(Some(expected)));
    assert_eq!(again.queue.repeated(&again.keyed(2, 1).key.unwrap()).await, Ok(None));
    again.stop().await;
}

#[tokio::test]
async fn a_repeat_is_answered_when_the_backlog_is_full() {
    let database = Database::new().await;
    let running = Running::open(&database, backlog(1), Script::default()).await;
    let first = running.keyed(1, 1);
    let expected = first.answer.clone();
    assert_eq!(running.queue.enqueue(first).await, Ok(Enqueued::New));
    assert_eq!(running.queue.enqueue(running.keyed(1, 1)).await, Ok(Enqueued::Replayed(expected)));
    assert_eq!(running.queue.enqueue(running.keyed(1, 2)).await, Err(Refused::KeyReused));
    assert!(matches!(running.queue.enqueue(running.keyed(2, 1)).await, Err(Refused::BacklogFull { .. })));
}

#[tokio::test]
async fn a_key_is_remembered_for_a_day() {
    let running = Running::alone(config(), Script::default()).await;
    running.queue.enqueue(running.keyed(1, 1)).await.unwrap();
    running.execute("UPDATE idempotency SET expires = expires - 86340000").await;
    assert!(matches!(running.queue.enqueue(running.keyed(1, 1)).await, Ok(Enqueued::Replayed(_))));
    running.execute("UPDATE idempotency SET expires = expires - 60000").await;
    running
        .wait("it is still remembered", async || {
            running.queue.enqueue(running.keyed(1, 2)).await == Ok(Enqueued::New)
        })
        .await;
}

#[tokio::test]
async fn a_guard_that_does_not_hold_leaves_nothing_behind() {
    let database = Database::new().await;
    let running = Running::open(&database, config(), Script::default()).await;
    running.execute("INSERT INTO account VALUES ('with', '1'), ('without', NULL)").await;
    let guarded = |subject: &str, enqueue| Enqueue { guard: Some(subject.to_owned()), ..enqueue };
    let enqueues = [
        guarded("with", running.keyed(1, 1)),
        guarded("without", running.keyed(2, 1)),
        guarded("nobody", running.jobs(3)),
        guarded("with", running.jobs(2)),
        running.keyed(3, 1),
    ];
    let results =
        futures_util::future::join_all(enqueues.map(|enqueue| running.queue.enqueue(enqueue))).await;
    let new = Ok(Enqueued::New);
    assert_eq!(results, [new.clone(), Err(Refused::Unmet), Err(Refused::Unmet), new.clone(), new.clone()]);
    assert_eq!(running.ledger().await.accepted, 4);
    assert_eq!(running.queue.enqueue(running.keyed(2, 2)).await, new, "its key was not taken");
    assert!(running.queue.enqueue(running.job()).await.is_ok());
}

#[tokio::test]
async fn a_job_does_not_run_before_its_time_and_can_be_cancelled_until_then() {
    let running = Running::alone(config(), Script::default()).await;
    let now = running.queue.store().now_ms();
    let soon = Enqueue { run_at: Some(now + 300), ..running.job() };
    let later = Enqueue { run_at: Some(now + 60_000), ..running.job() };
    let (soon_id, later_id) = (soon.id, later.id);
    running.queue.enqueue(later).await.unwrap();
    running.queue.enqueue(soon).await.unwrap();
    let job = running.until(soon_id, JobState::Completed).await;
    assert!(job.attempts[0].at >= now + 300, "attempted {} ms early", now + 300 - job.attempts[0].at);
    assert!(job.attempts[0].at <= now + 1300, "attempted {} ms late", job.attempts[0].at - now - 300);
    let (cancelled, jobs) = running.queue.cancel(later_id).await.unwrap().unwrap();
    assert_eq!((cancelled, jobs[0].state), (1, JobState::Cancelled));
    assert_eq!(running.queue.cancel(later_id).await.unwrap().unwrap().0, 0, "only once");
    let ledger = running.ledger().await;
    assert_eq!((ledger.cancelled, queued(ledger)), (1, 0));
}

#[tokio::test]
async fn a_synchronous_call_makes_one_attempt_and_answers_a_repeat_alike() {
    let running = Running::alone(config(), telling(&[RETRY, UNKNOWN, DONE])).await;
    for (scope, expected) in
        [JobState::Failed, JobState::Unknown, JobState::Completed].into_iter().enumerate()
    {
        let enqueue = running.keyed(scope as u8, 1);
        let id = enqueue.id;
        assert_eq!(running.run_now(enqueue).await, Ok(Finished::States(vec![expected])));
        let repeat = running.run_now(running.keyed(scope as u8, 1)).await;
        assert_eq!(repeat, Ok(Finished::Replayed(answer(id, &[expected]))));
        assert_eq!(running.find(id).await[0].state, expected);
    }
    let ledger = running.ledger().await;
    assert_eq!((ledger.failed, ledger.unknown, ledger.completed, running.attempts()), (1, 1, 1, 3));
}

#[tokio::test]
async fn a_synchronous_repeat_in_flight_is_told_so_and_a_caller_who_leaves_cancels_nothing() {
    let (script, gate) = gated();
    let running = Running::alone(workers(1), script).await;
    let enqueue = running.keyed(1, 1);
    let (id, queue) = (enqueue.id, running.queue.clone());
    let caller = tokio::spawn(async move { queue.run_now(enqueue, answer).await.is_ok() });
    running.attempted(1).await;
    assert_eq!(running.run_now(running.keyed(1, 1)).await, Err(Refused::InFlight));
    assert!(matches!(running.run_now(running.keyed(2, 1)).await, Err(Refused::BacklogFull { .. })));
    caller.abort();
    gate.add_permits(1);
    running.until(id, JobState::Completed).await;
    running
        .wait("no answer was kept", async || {
            running.run_now(running.keyed(1, 1)).await
                == Ok(Finished::Replayed(answer(id, &[JobState::Completed])))
        })
        .await;
}

#[tokio::test]
async fn statements_of_the_service_commit_with_the_jobs_and_only_if_they_are_new() {
    let database = Database::new().await;
    let running = Running::open(&database, config(), Script::default()).await;
    let note = |enqueue: Enqueue<Job>, text: &str| {
        let values = vec![Value::Int(enqueue.id.number()), Value::Text(text.to_owned())];
        Enqueue {
            writes: vec![Statement { sql: "INSERT INTO note (id, text) VALUES ($1, $2)", values }],
            ..enqueue
        }
    };
    let alone = |scope| Enqueue { jobs: Vec::new(), ..running.keyed(scope, 1) };
    let damaged = Enqueue {
        writes: vec![Statement {
            sql: "INSERT INTO note (id, text) VALUES (NULL, NULL)",
            values: Vec::new(),
        }],
        ..running.job()
    };
    let enqueues = [
        note(running.keyed(1, 1), "with a job"),
        note(running.keyed(1, 1), "a repeat"),
        note(alone(2), "alone"),
        note(alone(2), "a repeat"),
        damaged,
        note(Enqueue { key: None, ..alone(3) }, "without a key"),
        running.job(),
    ];
    let results =
        futures_util::future::join_all(enqueues.map(|enqueue| running.queue.enqueue(enqueue))).await;
    let kinds: Vec<_> = results
        .iter()
        .map(|result| match result {
            Ok(Enqueued::New) => "new",
            Ok(Enqueued::Replayed(_)) => "replayed",
            Err(Refused::StoreUnavailable(_)) => "refused",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["new", "replayed", "new", "replayed", "refused", "new", "new"]);
    let mut reader = running.queue.store().read("find notes").await.unwrap();
    let notes: Vec<String> =
        sqlx::query_scalar("SELECT text FROM note ORDER BY id").fetch_all(&mut *reader).await.unwrap();
    assert_eq!(notes, ["with a job", "alone", "without a key"]);
    drop(reader);
    assert_eq!(running.ledger().await.accepted, 2);
}

#[tokio::test]
async fn ids_rise_across_restarts() {
    let database = Database::new().await;
    let running = Running::open(&database, config(), Script::default()).await;
    let far = JobId::from_number(running.queue.new_id(1).number() + (3_600_000 << 22));
    running.queue.enqueue(Enqueue { id: far, ..running.job() }).await.unwrap();
    running.stop().await;
    let running = Running::open(&database, config(), Script::default()).await;
    let next = running.queue.new_id(1);
    assert!(next > far, "{next} is not above {far}");
}

#[tokio::test]
async fn a_cancelled_job_makes_room_where_it_stood() {
    let mut config = config();
    config.queue.max_scheduled = 1;
    let running = Running::alone(config, Script::default()).await;
    let tomorrow = running.queue.store().now_ms() + 86_400_000;
    let scheduled = || Enqueue { run_at: Some(tomorrow), not_after: i64::MAX, ..running.job() };
    let id = running.accept(scheduled()).await;
    assert!(matches!(running.queue.enqueue(scheduled()).await, Err(Refused::BacklogFull { .. })));
    assert_eq!(running.queue.cancel(id).await.unwrap().unwrap().0, 1);
    running.accept(scheduled()).await;
    assert!(matches!(running.queue.enqueue(scheduled()).await, Err(Refused::BacklogFull { .. })));
}

#[tokio::test]
async fn a_queue_that_can_accept_nothing_any_more_ends() {
    let mut running = Running::alone(config(), Script { panics_at_accept: true, ..Script::default() }).await;
    assert_eq!(running.queue.enqueue(running.job()).await, Err(Refused::CommitUnknown));
    timeout(PATIENCE, running.run.take().unwrap()).await.unwrap().unwrap();
}
