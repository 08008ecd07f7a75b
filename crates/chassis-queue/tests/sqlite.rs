//! The queue on SQLite.

mod suite;

use chassis_queue::{StoreConfig, StoreUrl};
use tempfile::TempDir;

/// A file in a folder of its own.
pub struct Database(TempDir);

impl Database {
    #[expect(clippy::unused_async, reason = "as for PostgreSQL")]
    pub async fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn config(&self) -> StoreConfig {
        let path = self.0.path().join("data/a b%c.db");
        StoreConfig {
            url: StoreUrl::Sqlite { path, synchronous: true },
            password_file: None,
            max_connections: 4,
            max_readers: 4,
        }
    }
}
