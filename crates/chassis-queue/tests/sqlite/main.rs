//! The queue on SQLite.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests, outside of test functions"
)]

#[path = "../suite/mod.rs"]
mod suite;

mod files;

use chassis_queue::{StoreConfig, StoreUrl};
use std::path::PathBuf;
use tempfile::TempDir;

/// A file in a folder of its own.
pub struct Database {
    _folder: TempDir,
    path: PathBuf,
}

impl Database {
    #[expect(clippy::unused_async, reason = "as for PostgreSQL")]
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { path: folder.path().join("data/a b%c.db"), _folder: folder }
    }

    pub fn config(&self) -> StoreConfig {
        StoreConfig {
            url: StoreUrl::Sqlite { path: self.path.clone(), synchronous: true },
            password_file: None,
            max_connections: 4,
            max_readers: 4,
        }
    }
}
