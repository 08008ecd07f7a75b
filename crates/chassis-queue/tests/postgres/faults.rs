//! PostgreSQL that fails, and processes that share one. Killed and updated processes under load are in `tests/peers/replicas.rs`.

use crate::{Database, suite::*};
use chassis_queue::{Enqueue, Enqueued, JobState, Outcome, Refused, Statement, Store, StoreConfig, StoreUrl};
use chassis_test::postgres::Server;
use futures_util::future::join_all;
use sqlx::PgPool;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio::{io::copy_bidirectional, net::TcpListener, net::TcpStream, task::spawn_blocking};

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

/// A firewall in between, which forgets the connections of now when it is told: it passes nothing more, and says nothing.
async fn firewall(to: u16) -> (u16, watch::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (forget, forgotten) = watch::channel(());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut forgotten = forgotten.clone();
            forgotten.mark_unchanged();
            tokio::spawn(async move {
                let Ok(mut server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => {}
                    Ok(()) = forgotten.changed() => std::future::pending().await,
                }
            });
        }
    });
    (port, forget)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_a_firewall_forgets_while_they_are_used_are_replaced() {
    const SLOW: &str = "SELECT CAST(pg_sleep(3) AS TEXT)";
    const SLOWER: &str = "SELECT CAST(pg_sleep(4) AS TEXT)";
    const ASLEEP: &str =
        "SELECT count(*), count(*) FILTER (WHERE query LIKE '%sleep(4)%') FROM pg_stat_activity
        WHERE wait_event = 'PgSleep'";
    let server = server(&[]).await;
    let direct = PgPool::connect(&server.url("postgres")).await.unwrap();
    let (port, forget) = firewall(server.port).await;
    let database = Database::at(format!("postgres://test@127.0.0.1:{port}/postgres"));
    let running = Arc::new(Running::started(&database, config(), Script::default()).await);
    let id = running.accept(running.job()).await;
    let slow = || Enqueue { writes: vec![Statement { sql: SLOW, values: Vec::new() }], ..running.job() };
    let writes = (0..4).map(|_| running.queue.enqueue(slow()));
    let reads = (0..4).map(|_| async {
        let mut reader = running.queue.store().read("slow").await.unwrap();
        // As a handler that gives up.
        timeout(Duration::from_secs(3), sqlx::query(SLOWER).execute(&mut *reader)).await.is_err()
    });
    let forgets = async {
        let asleep = async || {
            let (all, reads): (i64, i64) = sqlx::query_as(ASLEEP).fetch_one(&direct).await.unwrap();
            all > reads && reads == 4
        };
        running.wait("not all are asleep", asleep).await;
        forget.send(()).unwrap();
    };
    let all = async { tokio::join!(join_all(writes), join_all(reads), forgets) };
    let (written, read, ()) = timeout(PATIENCE, all).await.expect("somebody waits without end");
    assert!(read.iter().all(|gave_up| *gave_up));
    assert!(written.iter().all(Result::is_err), "{written:?}");
    let accepted = async || running.queue.enqueue(slow()).await == Ok(Enqueued::New);
    running.wait("it accepts nothing again", accepted).await;
    running.wait("it reads nothing again", async || running.queue.find(id).await.is_ok()).await;
    let readers = join_all((0..4).map(|_| running.queue.store().read("all"))).await;
    assert!(readers.iter().all(Result::is_ok), "no reader is lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_are_all_busy_are_no_outage() {
    let running = Running::alone(config(), Script::default()).await;
    let _busy = join_all((0..4).map(|_| running.queue.store().read("busy"))).await;
    assert!(running.queue.find(running.queue.new_id(1)).await.is_err());
    assert!(running.queue.store().outages().borrow().is_none());
    running.accept(running.job()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_lease_ended_completes_nothing() {
    let database = Database::new().await;
    let (script, gate) = gated();
    // Its only worker is busy: it takes nothing again.
    let stale = Running::started(&database, workers(1), script).await;
    let id = stale.accept(stale.job()).await;
    stale.attempted(1).await;
    // As another process does that found no lease.
    stale.execute("UPDATE job SET state = 2, worker = 0; DELETE FROM worker").await;
    let other = Running::started(&database, config(), telling(&[Outcome::Failed { reason: "second" }])).await;
    other.until(id, JobState::Failed).await;
    gate.add_permits(100);
    stale.wait("it never ended", async || stale.ledger().await.failed == 1).await;
    let next_id = stale.accept(stale.job()).await;
    stale.until(next_id, JobState::Completed).await;
    let job = &stale.find(id).await[0];
    assert_eq!((job.state, job.reason.as_deref()), (JobState::Failed, Some("second")));
    stale.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_outlives_its_lease_does_not_hide_the_next_one() {
    let (script, gate) = gated();
    let script = Script { gated_channel: Some("test"), ..script };
    let running = Running::alone(workers(2), script).await;
    let id = running.accept(running.job()).await;
    running.attempted(1).await;
    running.execute("UPDATE job SET state = 2, worker = 0; DELETE FROM worker").await;
    running.attempted(2).await;
    // The first of the two, under the old identity.
    gate.add_permits(1);
    running.wait("it never ended", async || gate.available_permits() == 0).await;
    let other = running.accept(Enqueue { channel: "other", ..running.job() }).await;
    running.until(other, JobState::Completed).await;
    gate.add_permits(100);
    running.until(id, JobState::Completed).await;
    assert_eq!(running.attempts(), 3, "two, and the other job's");
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
    running.wait("not all ran", async || queued(running.ledger().await) == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_whose_start_a_hanging_server_commits_late_is_made() {
    let server = server(&[]).await;
    let database = Database::at(server.url("postgres"));
    let running = Running::started(&database, config(), Script::default()).await;
    let later = running.queue.store().now_ms() + 3_600_000;
    let id = running.accept(Enqueue { run_at: Some(later), not_after: later, ..running.job() }).await;
    server.signal("-STOP");
    assert!(running.queue.enqueue(running.job()).await.is_err());
    server.signal("-CONT");
    running.wait("it did not resume", async || running.queue.enqueue(running.job()).await.is_ok()).await;
    running.wait("not all ran", async || queued(running.ledger().await) == 1).await;
    // As the server does with a commit that its client has given up.
    running
        .execute("UPDATE job SET state = 5, spent = 1, worker = (SELECT id FROM worker) WHERE state = 3")
        .await;
    running.until(id, JobState::Completed).await;
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

#[tokio::test]
async fn the_password_is_that_of_its_file_with_or_without_a_line_end() {
    const ASK: &str =
        "ALTER USER test PASSWORD 'a:b@/%c'; DO $$ BEGIN EXECUTE format('COPY (SELECT %L) TO %L',
        'host all all 127.0.0.1/32 scram-sha-256', current_setting('hba_file')); END $$";
    let server = server(&[]).await;
    server.execute("postgres", ASK);
    server.execute("postgres", "SELECT pg_reload_conf()");
    let file = tempfile::NamedTempFile::new().unwrap();
    let opened = async |password: &str| {
        std::fs::write(file.path(), password).unwrap();
        let password_file = Some(file.path().to_owned());
        Store::open(&StoreConfig { password_file, ..config_of(server.port) }, &[]).await
    };
    let refused = async {
        loop {
            match opened("canary").await {
                Err(error) => return error.to_string(),
                // It has not read its file yet.
                Ok(store) => store.close().await,
            }
        }
    };
    let told = timeout(PATIENCE, refused).await.expect("the server asks for no password");
    assert!(told.contains("the server refused the login") && !told.contains("canary"), "{told}");
    for right in ["a:b@/%c", "a:b@/%c\r\n"] {
        opened(right).await.unwrap().close().await;
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
    let ids = running.accept_many(20).await;
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
}
