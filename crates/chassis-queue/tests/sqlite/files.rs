//! What is promised of the SQLite file, and of the clock beside it.

use crate::{Database, suite::*};
use chassis_queue::{Component, Enqueue, JobState, Migration, OpenError, Outcome, Store, StoreError};
use sqlx::{Connection as _, sqlite::SqliteConnection};
use std::{fs, time::Duration};

/// Older ones can damage a file whose log starts again beside a checkpoint.
#[tokio::test]
async fn the_library_is_not_older_than_3_51_3() {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let version: String =
        sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut connection).await.unwrap();
    let parts: Vec<u32> = version.split('.').map(|part| part.parse().unwrap()).collect();
    assert!(parts >= vec![3, 51, 3], "{version}");
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
}

#[tokio::test]
async fn a_wall_clock_that_jumps_back_stops_no_retry_and_starts_nothing_early() {
    let retry = Outcome::Retry { reason: "r", after: Some(Duration::from_millis(200)) };
    let running = Running::alone(config(), telling(&[retry])).await;
    let store = running.queue.store().clone();
    let scheduled_id = running.accept(Enqueue { run_at: Some(store.now_ms() + 1000), ..running.job() }).await;
    let retried_id = running.accept(running.job()).await;
    running.until(retried_id, JobState::Retrying).await;
    store.shift_wall_clock(-600_000);
    running.until(retried_id, JobState::Completed).await;
    let fresh_id = running.accept(running.job()).await;
    running.until(fresh_id, JobState::Completed).await;
    tokio::time::sleep(Duration::from_millis(1300)).await;
    assert_eq!(running.find(scheduled_id).await[0].state, JobState::Accepted, "its time is in ten minutes");
    store.shift_wall_clock(600_000);
    running.until(scheduled_id, JobState::Completed).await;
}

#[tokio::test]
async fn a_batch_for_later_is_delivered_by_a_clock_that_jumped_forward() {
    let running = Running::alone(config(), Script::default()).await;
    let store = running.queue.store();
    store.shift_wall_clock(3_600_000);
    let batch = batches::later(batches::batch(&running, &[1; 3]), store.now_ms() + 200);
    let id = batches::accept(&running, batch).await;
    batches::completed(&running, id, 3).await;
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
    let batch_id = batches::accept(&running, batches::batch(&running, &[1; 3])).await;
    // As if they had been accepted while the clock was half an hour ahead.
    running.execute("UPDATE job SET at = at + 1800000 WHERE state <> 3").await;
    running.execute("UPDATE batch SET first_due = first_due + 1800000").await;
    running.stop().await;
    let running = Running::started(&database, config(), Script::default()).await;
    running.until(ahead_id, JobState::Completed).await;
    batches::completed(&running, batch_id, 3).await;
    assert_eq!(running.find(scheduled_id).await[0].first_due, tomorrow);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_cut_back_once_a_long_reader_ends() {
    let database = Database::new().await;
    let running = Running::started(&database, config(), Script::default()).await;
    let store = running.queue.store().clone();
    let log = format!("{}-wal", database.path.display());
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
}
