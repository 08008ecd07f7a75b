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

/// How often a process is killed.
pub const KILLS: u64 = 5;

/// A file in a folder of its own.
pub struct Database {
    _folder: Option<TempDir>,
    path: PathBuf,
}

impl Database {
    #[expect(clippy::unused_async, reason = "as for PostgreSQL")]
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { path: folder.path().join("data/a b%c.db"), _folder: Some(folder) }
    }

    pub fn for_child(&self) -> String {
        self.path.display().to_string()
    }

    pub fn of_child(path: &str) -> Self {
        Self { _folder: None, path: path.into() }
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
