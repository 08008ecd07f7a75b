//! PostgreSQL that fails, and processes that share one: `cargo test -p chassis-queue --test postgres`.

use crate::{Database, suite::*};
use chassis_queue::{
    Component, Enqueue, Enqueued, JobId, JobState, Migration, Outcome, Refused, Store, StoreConfig, StoreUrl,
};
use chassis_test::postgres::Server;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{io::copy_bidirectional, net::TcpListener, net::TcpStream, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

fn config_of(port: u16) -> StoreConfig {
    let url = format!("postgres://test@127.0.0.1:{port}/postgres");
    StoreConfig {
        url: StoreUrl::Postgres(url.into()),
        password_file: None,
        max_connections: 8,
        max_readers: 4,
    }
}

async fn server(settings: &'static [&'static str]) -> Arc<Server> {
    Arc::new(spawn_blocking(move || Server::start(settings)).await.unwrap())
}

/// An address that leads to one server after another, as a virtual IP does.
async fn proxy(to: u16) -> (u16, Arc<AtomicU16>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, target) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU16::new(to)));
    let to = Arc::clone(&target);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let to = to.load(Ordering::Relaxed);
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect(("127.0.0.1", to)).await {
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    (port, target)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_processs_jobs_are_picked_up_within_five_seconds_and_a_living_ones_never() {
    let database = Database::new().await;
    let (script, gate) = gated();
    let living = Running::started(&database, config(), script).await;
    let kept = living.job();
    let kept_id = kept.id;
    living.queue.enqueue(kept).await.unwrap();
    living.attempted(1).await;
    let other = Running::started(&database, config(), Script::default()).await;
    other.stop().await;
    let (script, _gate) = gated();
    let killed = Running::open(&database, config(), script).await;
    let mut killed = killed;
    let ids: Vec<JobId> = {
        let mut ids = Vec::new();
        killed.start();
        for _ in 0..20 {
            let enqueue = killed.job();
            ids.push(enqueue.id);
            killed.queue.enqueue(enqueue).await.unwrap();
        }
        ids
    };
    killed.attempted(4).await;
    let in_hand: Vec<JobId> = killed.script.attempts.lock().iter().map(|(_, attempt)| attempt.id).collect();
    killed.kill().await;
    let begun = Instant::now();
    let third = Running::started(&database, config(), Script::default()).await;
    for id in &in_hand {
        let job = third.until(*id, JobState::Completed).await;
        assert_eq!(job.attempts.len(), 2);
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(third.find(kept_id).await[0].state, JobState::Running, "its process renews its lease");
    gate.add_permits(100);
    third.until(kept_id, JobState::Completed).await;
    third.wait("not all ran", async || third.ledger().await.completed == ids.len() as i64 + 1).await;
    living.stop().await;
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_lease_ended_completes_nothing() {
    let database = Database::new().await;
    let (script, gate) = gated();
    // Its only worker is busy: it takes nothing again.
    let stale = Running::started(&database, workers(1), script).await;
    let enqueue = stale.job();
    let id = enqueue.id;
    stale.queue.enqueue(enqueue).await.unwrap();
    stale.attempted(1).await;
    // As another process does that found no lease.
    stale.execute("UPDATE job SET state = 2, worker = 0; DELETE FROM worker").await;
    let other = Running::started(&database, config(), telling(&[Outcome::Failed { reason: "second" }])).await;
    other.until(id, JobState::Failed).await;
    gate.add_permits(100);
    stale.wait("it never ended", async || stale.ledger().await.failed == 1).await;
    let next = stale.job();
    let next_id = next.id;
    stale.queue.enqueue(next).await.unwrap();
    stale.until(next_id, JobState::Completed).await;
    let job = &stale.find(id).await[0];
    assert_eq!((job.state, job.reason.as_deref()), (JobState::Failed, Some("second")));
    stale.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_share_the_work_and_run_nothing_twice() {
    let database = Database::new().await;
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(Running::started(&database, backlog(100_000), Script::default()).await);
    }
    let mut enqueues = Vec::new();
    for number in 0..300 {
        let running = &all[number % 3];
        enqueues.push(running.queue.enqueue(running.jobs(3)));
    }
    for result in futures_util::future::join_all(enqueues).await {
        assert_eq!(result, Ok(Enqueued::New));
    }
    all[0].wait("not all ran", async || all[0].ledger().await.completed == 900).await;
    let mut attempts: HashMap<JobId, usize> = HashMap::new();
    for running in &all {
        for (_, attempt) in running.script.attempts.lock().iter() {
            *attempts.entry(attempt.id).or_default() += 1;
        }
    }
    assert!(attempts.len() == 900 && attempts.values().all(|count| *count == 1));
    for running in all {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_wakes_a_worker_of_another_process() {
    let database = Database::new().await;
    let (script, gate) = gated();
    let busy = Running::started(&database, workers(1), script).await;
    busy.queue.enqueue(busy.job()).await.unwrap();
    busy.attempted(1).await;
    let idle = Running::started(&database, config(), Script::default()).await;
    let mut all = Duration::ZERO;
    for _ in 0..10 {
        let enqueue = busy.job();
        let (id, begun) = (enqueue.id, Instant::now());
        busy.queue.enqueue(enqueue).await.unwrap();
        busy.until(id, JobState::Completed).await;
        all += begun.elapsed();
    }
    // A poll alone would take half a second each.
    assert!(all < Duration::from_secs(3), "{all:?}");
    gate.add_permits(100);
    busy.stop().await;
    idle.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_is_used_again_within_two_seconds() {
    let server = server(&[]).await;
    let database = Database::at(server.url("postgres"));
    let (script, gate) = gated();
    let running = Running::started(&database, config(), script).await;
    running.queue.enqueue(running.jobs(3)).await.unwrap();
    running.attempted(3).await;
    let stopped = Arc::clone(&server);
    spawn_blocking(move || stopped.stop()).await.unwrap();
    for _ in 0..3 {
        let begun = Instant::now();
        let refused = running.queue.enqueue(running.job()).await;
        let expected = matches!(refused, Err(Refused::StoreUnavailable(_) | Refused::CommitUnknown));
        assert!(expected, "{refused:?}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
    // Attempts end while it is away.
    gate.add_permits(1000);
    assert!(running.queue.store().outages().borrow().is_some());
    let again = Arc::clone(&server);
    spawn_blocking(move || again.launch(&[])).await.unwrap();
    let begun = Instant::now();
    while running.queue.enqueue(running.job()).await != Ok(Enqueued::New) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    running.wait("not all ran", async || running.ledger().await.completed == 4).await;
    let history = running.script.attempts.lock().len();
    assert_eq!(history, 4, "its lease was not taken away");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_refuses_within_three_seconds() {
    let server = server(&[]).await;
    let database = Database::at(server.url("postgres"));
    let running = Running::started(&database, config(), Script::default()).await;
    running.queue.enqueue(running.job()).await.unwrap();
    server.signal("-STOP");
    for _ in 0..3 {
        let begun = Instant::now();
        assert!(running.queue.enqueue(running.job()).await.is_err());
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
    server.signal("-CONT");
    running.wait("it did not resume", async || running.queue.enqueue(running.job()).await.is_ok()).await;
    running.wait("not all ran", async || running.ledger().await.queued() == 0).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_whose_start_a_hanging_server_commits_late_is_made() {
    let server = server(&[]).await;
    let database = Database::at(server.url("postgres"));
    let running = Running::started(&database, config(), Script::default()).await;
    let later = running.queue.store().now_ms() + 3_600_000;
    let enqueue = Enqueue { run_at: Some(later), not_after: later, ..running.job() };
    let id = enqueue.id;
    running.queue.enqueue(enqueue).await.unwrap();
    server.signal("-STOP");
    assert!(running.queue.enqueue(running.job()).await.is_err());
    server.signal("-CONT");
    running.wait("it did not resume", async || running.queue.enqueue(running.job()).await.is_ok()).await;
    running.wait("not all ran", async || running.ledger().await.queued() == 1).await;
    // As the server does with a commit that its client has given up.
    running
        .execute("UPDATE job SET state = 5, spent = 1, worker = (SELECT id FROM worker) WHERE state = 3")
        .await;
    running.until(id, JobState::Completed).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_are_replaced() {
    let database = Database::new().await;
    let running = Running::started(&database, config(), Script::default()).await;
    for _ in 0..5 {
        let store = running.queue.store().clone();
        let mut reader = store.read("cut").await.unwrap();
        let _ = sqlx::raw_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .execute(&mut *reader)
        .await;
        drop(reader);
        running.wait("it did not resume", async || running.queue.enqueue(running.job()).await.is_ok()).await;
    }
    running.wait("not all ran", async || running.ledger().await.queued() == 0).await;
    running.stop().await;
}

#[tokio::test]
async fn a_server_that_does_not_sync_is_refused() {
    for setting in [&["fsync=off"], &["synchronous_commit=off"]] {
        let server = server(setting).await;
        let error = match Store::open(&config_of(server.port), &[]).await {
            Ok(_) => panic!("it was opened"),
            Err(error) => error.to_string(),
        };
        assert!(error.contains("must be on"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_fail_over_the_new_primary_is_used_and_a_standby_never() {
    let first = server(&[]).await;
    let primary = Arc::clone(&first);
    let second = Arc::new(spawn_blocking(move || Server::standby_of(&primary)).await.unwrap());
    first.execute("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
    first.execute("postgres", "SELECT pg_reload_conf()");
    let standby = Store::open(&config_of(second.port), &[]).await;
    assert!(standby.is_err(), "a server in recovery was taken");
    let (port, target) = proxy(first.port).await;
    let database = Database::at(format!("postgres://test@127.0.0.1:{port}/postgres"));
    let running = Running::started(&database, config(), Script::default()).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        let enqueue = running.job();
        ids.push(enqueue.id);
        running.queue.enqueue(enqueue).await.unwrap();
    }
    let old = Arc::clone(&first);
    spawn_blocking(move || old.stop()).await.unwrap();
    target.store(second.port, Ordering::Relaxed);
    let refused = running.queue.enqueue(running.job()).await;
    assert!(refused.is_err(), "{refused:?}");
    let new = Arc::clone(&second);
    spawn_blocking(move || new.promote()).await.unwrap();
    let begun = Instant::now();
    while running.queue.enqueue(running.job()).await != Ok(Enqueued::New) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    for id in ids {
        running.until(id, JobState::Completed).await;
    }
    running.stop().await;
}

/// The schema of the next release, which only its own program can read when it starts.
const NEXT_RELEASE: Component = Component {
    steps: &[
        ACCOUNTS.steps[0],
        Migration {
            min_reader: 2,
            sql: "ALTER TABLE job ADD COLUMN next_release BIGINT NOT NULL DEFAULT 0;
                ALTER TABLE account ADD COLUMN mail TEXT",
        },
    ],
    ..ACCOUNTS
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_release_migrates_under_load_and_only_an_older_start_is_refused() {
    let database = Database::new().await;
    let mut all = Vec::new();
    for _ in 0..2 {
        all.push(Arc::new(Running::started(&database, backlog(100_000), Script::default()).await));
    }
    let done = CancellationToken::new();
    let callers: Vec<_> =
        (0..8).map(|caller| tokio::spawn(calls(Arc::clone(&all[caller % 2]), done.clone()))).collect();
    all[0].wait("no load", async || all[0].ledger().await.completed > 100).await;
    let mut newer = Running::of_release(&database, backlog(100_000), Script::default(), NEXT_RELEASE).await;
    newer.start();
    let before = newer.ledger().await.completed;
    newer.wait("no load afterwards", async || newer.ledger().await.completed > before + 200).await;
    newer.attempted(1).await;
    let error = match Store::open(&database.config(), &[ACCOUNTS]).await {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    };
    assert!(error.contains("newer release (accounts schema 2 needs a reader of at least 2"), "{error}");
    done.cancel();
    let mut accepted = 0;
    for caller in callers {
        accepted += caller.await.unwrap();
    }
    newer.wait("not all ran", async || newer.ledger().await.completed == accepted).await;
    assert_eq!(all.iter().map(|older| older.attempts()).sum::<usize>() + newer.attempts(), accepted as usize);
    newer.stop().await;
}

/// Enqueues one job after another until `done`; none is refused. Gives how many there were.
async fn calls(running: Arc<Running>, done: CancellationToken) -> i64 {
    let mut accepted = 0;
    while !done.is_cancelled() {
        assert_eq!(running.queue.enqueue(running.job()).await, Ok(Enqueued::New));
        accepted += 1;
    }
    accepted
}
