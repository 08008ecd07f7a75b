//! A store's file that another process holds.

use super::service::Site;
use sqlx::{Connection, Executor, SqliteConnection};
use std::{
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

/// A connection to a store's file, as somebody's tool might have one. It lives on a thread of its own, so that tests
/// may use it inside a runtime.
pub struct Sqlite(Option<SyncSender<&'static str>>, Receiver<()>, Option<JoinHandle<()>>);

impl Sqlite {
    pub fn open(file: &Path) -> Self {
        let url = format!("sqlite://{}", file.display());
        let (sender, statements) = sync_channel::<&str>(0);
        let (done, executed) = sync_channel(0);
        let run = async move {
            let mut connection = SqliteConnection::connect(&url).await.unwrap();
            connection.execute("PRAGMA busy_timeout = 20000").await.unwrap();
            for sql in statements {
                connection.execute(sql).await.unwrap();
                done.send(()).unwrap();
            }
            connection.close().await.unwrap();
        };
        let thread = thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run);
        });
        Self(Some(sender), executed, Some(thread))
    }

    pub fn execute(&self, sql: &'static str) {
        self.0.as_ref().unwrap().send(sql).unwrap();
        self.1.recv().unwrap();
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.0 = None;
        drop(self.2.take().map(JoinHandle::join));
    }
}

/// Holds the file's one place for a writer until it is dropped.
pub struct Locked(Sqlite);

impl Locked {
    pub fn new(site: &Site) -> Self {
        let sqlite = Sqlite::open(&site.store());
        sqlite.execute("BEGIN EXCLUSIVE");
        Self(sqlite)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.execute("ROLLBACK");
    }
}
