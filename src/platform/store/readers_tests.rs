//! Reads over the whole store: on threads, and look-ups in place.

use crate::platform::store::{Operation, Purpose, Store, StoreError, Tx};
use futures_util::future::join_all;
use std::{
    sync::mpsc::sync_channel,
    thread::{self, ThreadId},
    time::Duration,
};
use tempfile::TempDir;
use tokio::sync::oneshot;

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("s.db"), true, Duration::from_secs(10), &[]).unwrap();
    (folder, store)
}

async fn number(store: &Store, number: i64) -> Result<Option<i64>, StoreError> {
    store.read("test", move |tx| tx.first("SELECT $1", &[number.into()], |row| row.int(0))).await
}

async fn look_up(store: &Store, number: i64) -> Result<Option<i64>, StoreError> {
    store.look_up("test", move |tx| tx.first("SELECT $1", &[number.into()], |row| row.int(0))).await
}

/// A worker's thread that asks, and the one that looks up.
async fn threads(store: &Store) -> (ThreadId, ThreadId) {
    let store = store.clone();
    let asked = crate::platform::task::spawn(async move {
        let (asks, looks_up) =
            (thread::current().id(), store.look_up("test", |_| Ok(thread::current().id())).await);
        (asks, looks_up.unwrap())
    });
    asked.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_reads_at_once_are_each_answered_with_their_own() {
    let (_folder, store) = store();
    for _ in 0..20 {
        let read = join_all((0..100).map(|n| number(&store, n))).await;
        let found = join_all((0..100).map(|n| look_up(&store, n))).await;
        for answers in [read, found] {
            let answers: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().unwrap()).collect();
            assert_eq!(answers, (0..100).collect::<Vec<_>>());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_fails_or_panics_is_its_callers_alone() {
    let (_folder, store) = store();
    let fails = store.read("test", |tx| tx.first("SELECT nothing", &[], |row| row.int(0)));
    let panics = store.read::<(), _>("test", |_| panic!("as the test wants"));
    let (fails, panics, goes) = tokio::join!(fails, panics, number(&store, 7));
    assert!(matches!(fails, Err(StoreError::Statement(_))));
    assert!(matches!(panics, Err(StoreError::Statement(_))));
    assert_eq!(goes.unwrap(), Some(7));
    let fails = store.look_up("test", |tx| tx.first("SELECT nothing", &[], |row| row.int(0))).await;
    assert!(matches!(fails, Err(StoreError::Statement(_))));
    assert_eq!(number(&store, 8).await.unwrap(), Some(8));
    let panics = store.look_up::<(), _>("test", |_| panic!("as the test wants")).await;
    assert!(matches!(panics, Err(StoreError::Statement(_))));
    assert_eq!(look_up(&store, 9).await.unwrap(), Some(9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_up_is_done_where_it_is_asked_once_there_is_a_connection() {
    let (_folder, store) = store();
    let (asks, looks_up) = threads(&store).await;
    assert_ne!(asks, looks_up);
    let (asks, looks_up) = threads(&store).await;
    assert_eq!(asks, looks_up);
}

async fn write(store: &Store, at: i64) {
    let sql = "INSERT OR REPLACE INTO probe (id, at) VALUES (1, $1)";
    let apply = move |tx: &mut Tx<'_>| tx.execute(sql, &[at.into()]);
    store.write(Purpose::of(Operation::Other), apply).await.unwrap();
}

/// Looked up in place once there is a connection for it.
async fn written(store: &Store) -> Option<i64> {
    let sql = "SELECT at FROM probe WHERE id = 1";
    store.look_up("test", move |tx| tx.first(sql, &[], |row| row.int(0))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_up_sees_whatever_was_answered_before_it() {
    let (_folder, store) = store();
    for at in 0..200 {
        write(&store, at).await;
        assert_eq!(written(&store).await, Some(at));
        assert_eq!(written(&store).await, Some(at));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_kept_is_let_go_of_for_a_checkpoint_and_at_the_end() {
    let (folder, store) = store();
    let file = folder.path().join("s.db");
    let other = rusqlite::Connection::open(&file).unwrap();
    other.busy_timeout(Duration::ZERO).unwrap();
    let is_held =
        || other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).unwrap() == 1;
    written(&store).await;
    for at in 0..3 {
        write(&store, at).await;
        assert_eq!(written(&store).await, Some(at));
        assert!(is_held());
        store.inner.readers.let_go();
        assert!(!is_held());
    }
    write(&store, 3).await;
    assert_eq!(written(&store).await, Some(3));
    store.close();
    assert_eq!(std::fs::metadata(folder.path().join("s.db-wal")).map_or(0, |wal| wal.len()), 0);
}

#[tokio::test(flavor = "current_thread")]
async fn a_runtime_of_one_worker_never_waits_for_the_disk() {
    let (_folder, store) = store();
    for _ in 0..2 {
        let (asks, looks_up) = threads(&store).await;
        assert_ne!(asks, looks_up);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_store_holds_up_one_worker_once_and_nobody_else() {
    let (_folder, store) = store();
    number(&store, 1).await.unwrap();
    let (go_on, waits) = sync_channel::<()>(1);
    let (begins, begun) = oneshot::channel();
    let (begins, waits) = (parking_lot::Mutex::new(Some(begins)), parking_lot::Mutex::new(waits));
    let slow_store = store.clone();
    let slow = crate::platform::task::spawn(async move {
        let asks = thread::current().id();
        let slow = move |_: &mut Tx<'_>| {
            let begins = begins.lock().take();
            let _ = begins.map(|begins| begins.send(thread::current().id()));
            let _ = waits.lock().recv();
            Ok(())
        };
        slow_store.look_up("slow", slow).await.unwrap();
        asks
    });
    let holds_up = begun.await.unwrap();
    // The other worker goes on, and leaves looking up to the threads.
    for _ in 0..100 {
        let (asks, looks_up) = threads(&store).await;
        assert!(asks != holds_up && looks_up != holds_up && asks != looks_up);
    }
    go_on.send(()).unwrap();
    assert_eq!(slow.await.unwrap(), holds_up);
    // So does everybody once it was slow a few times.
    let (_never, waits) = sync_channel::<()>(1);
    let waits = std::sync::Arc::new(parking_lot::Mutex::new(waits));
    for _ in 0..5 {
        let waits = std::sync::Arc::clone(&waits);
        let slow = move |_: &mut Tx<'_>| {
            let _ = waits.lock().recv_timeout(Duration::from_millis(20));
            Ok(())
        };
        store.look_up("slow", slow).await.unwrap();
    }
    let (asks, looks_up) = threads(&store).await;
    assert_ne!(asks, looks_up);
}
