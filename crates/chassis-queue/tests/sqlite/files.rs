//! What is promised of the SQLite file, and of the clock beside it.

use crate::{Database, suite::*};
use chassis_queue::{
    Component, Enqueue, Enqueued, JobState, Migration, OpenError, Outcome, Refused, Store, StoreConfig,
    StoreError,
};
use sqlx::{Connection as _, sqlite::SqliteConnection};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

/// Older ones can damage a file whose log starts again beside a checkpoint.
#[tokio::test]
async fn the_library_is_not_older_than_3_51_3() {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let version: String =
        sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut connection).await.unwrap();
    let parts: Vec<u32> = version.split('.').map(|part| part.parse().unwrap()).collect();
    assert!(parts >= vec![3, 51, 3], "{version}");
}

async fn refused(config: &StoreConfig) -> String {
    match Store::open(config, &[]).await {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    }
}

fn path(database: &Database) -> String {
    database.for_child()
}

async fn other_program(database: &Database) -> SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path(database)).create_if_missing(true);
    SqliteConnection::connect_with(&options).await.unwrap()
}

#[tokio::test]
async fn files_are_for_their_owner_alone() {
    let database = Database::new().await;
    let running = Running::started(&database, config(), Script::default()).await;
    running.queue.enqueue(running.job()).await.unwrap();
    let copy = format!("{}.copy", path(&database));
    Store::backup(&database.config(), Path::new(&copy)).await.unwrap();
    assert!(Store::backup(&database.config(), Path::new(&copy)).await.is_err(), "it overwrites nothing");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = Path::new(&copy).parent().unwrap();
    assert_eq!(mode(folder), 0o700);
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    running.stop().await;
    let copied = Running::open(&Database::of_child(&copy), config(), Script::default()).await;
    assert_eq!(copied.ledger().await.accepted, 1);
    copied.stop().await;
}

#[tokio::test]
async fn a_second_instance_and_foreign_files_are_refused_with_the_reason() {
    let database = Database::new().await;
    let running = Running::open(&database, config(), Script::default()).await;
    assert!(matches!(Store::open(&database.config(), &[]).await, Err(OpenError::InUse { .. })));
    running.stop().await;

    let foreign = Database::new().await;
    fs::create_dir_all(Path::new(&path(&foreign)).parent().unwrap()).unwrap();
    let mut other = other_program(&foreign).await;
    sqlx::raw_sql("CREATE TABLE recipes (id INTEGER); PRAGMA application_id = 42")
        .execute(&mut other)
        .await
        .unwrap();
    other.close().await.unwrap();
    let told = refused(&foreign.config()).await;
    assert!(told.contains("another program's") && told.contains("42") && told.contains("recipes"), "{told}");

    fs::write(path(&foreign), "a text that is long enough to be taken for a database's head".repeat(20))
        .unwrap();
    let told = refused(&foreign.config()).await;
    assert!(told.contains("not an SQLite database"), "{told}");

    let nowhere = Database::of_child("/proc/nowhere/x.db");
    let told = refused(&nowhere.config()).await;
    assert!(told.contains("its folder /proc/nowhere can't be made"), "{told}");
}

const V1: Component = Component {
    name: "domain",
    ids: &[],
    steps: &[Migration { min_reader: 1, sql: "CREATE TABLE a (x BIGINT)" }],
};
const V2: Component = Component {
    steps: &[V1.steps[0], Migration { min_reader: 1, sql: "ALTER TABLE a ADD COLUMN y BIGINT" }],
    ..V1
};
const V3: Component =
    Component { steps: &[V2.steps[0], V2.steps[1], Migration { min_reader: 3, sql: "DROP TABLE a" }], ..V1 };

#[tokio::test]
async fn an_older_program_reads_a_newer_file_only_as_far_as_that_allows_it() {
    let database = Database::new().await;
    for component in [V1, V2, V1, V3] {
        Store::open(&database.config(), &[component]).await.unwrap().close().await;
    }
    let told = match Store::open(&database.config(), &[V2]).await {
        Err(error @ OpenError::TooNew { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(told.contains("domain schema 3 needs a reader of at least 3; this release reads 2"), "{told}");
}

#[tokio::test]
async fn a_lock_of_another_program_refuses_for_a_while_and_everything_resumes() {
    let database = Database::new().await;
    let running = Running::started(&database, config(), Script::default()).await;
    let mut other = other_program(&database).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let begun = std::time::Instant::now();
    let refused = running.queue.enqueue(running.job()).await;
    assert!(
        matches!(refused, Err(Refused::StoreUnavailable(reason)) if reason.contains("lock")),
        "{refused:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(running.queue.store().outages().borrow().is_some());
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    running
        .wait("it did not resume", async || running.queue.enqueue(running.job()).await == Ok(Enqueued::New))
        .await;
    running.wait("no job ran", async || running.ledger().await.completed == 1).await;
    running.stop().await;
}

#[tokio::test]
async fn an_error_of_a_statement_is_the_callers_and_names_no_value() {
    let database = Database::new().await;
    let running = Running::open(&database, config(), Script::default()).await;
    let mut tx = running.queue.store().begin().await.unwrap();
    for _ in 0..2 {
        let insert = sqlx::query("INSERT INTO account (id) VALUES ($1)").bind("canary");
        if let Err(error) = insert.execute(&mut *tx).await {
            let error = StoreError::from(error);
            assert!(matches!(&error, StoreError::Statement(text) if text.contains("account.id")), "{error}");
            assert!(!error.to_string().contains("canary"));
        }
    }
    assert_eq!(*running.queue.store().outages().borrow(), None);
    tx.rollback().await;
    running.stop().await;
}

#[tokio::test]
async fn a_wall_clock_that_jumps_back_stops_no_retry_and_starts_nothing_early() {
    let database = Database::new().await;
    let retry = Outcome::Retry { reason: "r", after: Some(Duration::from_millis(200)) };
    let running = Running::started(&database, config(), telling(&[retry])).await;
    let store = running.queue.store().clone();
    let scheduled = Enqueue { run_at: Some(store.now_ms() + 1000), ..running.job() };
    let scheduled_id = scheduled.id;
    running.queue.enqueue(scheduled).await.unwrap();
    let retried = running.job();
    let retried_id = retried.id;
    running.queue.enqueue(retried).await.unwrap();
    running.until(retried_id, JobState::Retrying).await;
    store.shift_wall_clock(-600_000);
    running.until(retried_id, JobState::Completed).await;
    let fresh = running.job();
    let fresh_id = fresh.id;
    running.queue.enqueue(fresh).await.unwrap();
    running.until(fresh_id, JobState::Completed).await;
    tokio::time::sleep(Duration::from_millis(1300)).await;
    assert_eq!(running.find(scheduled_id).await[0].state, JobState::Accepted, "its time is in ten minutes");
    store.shift_wall_clock(600_000);
    running.until(scheduled_id, JobState::Completed).await;
    running.stop().await;
}

#[tokio::test]
async fn a_clock_that_was_wrong_does_no_lasting_harm() {
    let database = Database::new().await;
    let running = Running::open(&database, config(), Script::default()).await;
    let (ahead, scheduled) = (running.job(), running.job());
    let (ahead_id, scheduled_id) = (ahead.id, scheduled.id);
    let tomorrow = running.queue.store().now_ms() + 86_400_000;
    running.queue.enqueue(ahead).await.unwrap();
    running
        .queue
        .enqueue(Enqueue { run_at: Some(tomorrow), not_after: i64::MAX, ..scheduled })
        .await
        .unwrap();
    // As if they had been accepted, or were to be retried, while the clock was a year ahead.
    running.execute("UPDATE job SET at = at + 31536000000 WHERE state <> 3").await;
    running.stop().await;
    let running = Running::started(&database, config(), Script::default()).await;
    running.until(ahead_id, JobState::Completed).await;
    assert_eq!(running.find(scheduled_id).await[0].first_due, tomorrow);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_cut_back_once_a_long_reader_ends() {
    let database = Database::new().await;
    let running = Running::started(&database, config(), Script::default()).await;
    let store = running.queue.store().clone();
    let log = format!("{}-wal", path(&database));
    let length = || fs::metadata(&log).map_or(0, |log| log.len());
    let mut reader = store.read("long").await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM job").fetch_all(&mut *reader).await.unwrap();
    let text = "x".repeat(1 << 20);
    for id in 0..150_i64 {
        let mut tx = store.begin().await.unwrap();
        let insert = sqlx::query("INSERT INTO note (id, text) VALUES ($1, $2)").bind(id).bind(&text);
        insert.execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert!(length() > 150 << 20);
    sqlx::raw_sql("COMMIT").execute(&mut *reader).await.unwrap();
    drop(reader);
    running.wait("the log stays long", async || length() < 40 << 20).await;
    running.stop().await;
}
