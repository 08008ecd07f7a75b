//! A store's file that another process holds.

use super::service::Site;
use sqlx::{Connection, Executor, SqliteConnection};
use std::path::Path;
use tokio::runtime::Runtime;

/// A connection to a store's file, as somebody's tool might have one.
pub struct Sqlite {
    runtime: Runtime,
    connection: SqliteConnection,
}

impl Sqlite {
    pub fn open(file: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = format!("sqlite://{}", file.display());
        let connection = runtime.block_on(SqliteConnection::connect(&url)).unwrap();
        let mut open = Self { runtime, connection };
        open.execute("PRAGMA busy_timeout = 20000");
        open
    }

    pub fn execute(&mut self, sql: &'static str) {
        self.runtime.block_on(self.connection.execute(sql)).unwrap();
    }
}

/// Holds the file's one place for a writer until it is dropped.
pub struct Locked(Sqlite);

impl Locked {
    pub fn new(site: &Site) -> Self {
        let mut sqlite = Sqlite::open(&site.store());
        sqlite.execute("BEGIN EXCLUSIVE");
        Self(sqlite)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.execute("ROLLBACK");
    }
}
