//! The queue on PostgreSQL, which has to be installed: `cargo test -p chassis-queue --test postgres`.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests, outside of test functions"
)]

mod faults;
#[path = "../suite/mod.rs"]
mod suite;

use chassis_queue::{StoreConfig, StoreUrl};
use chassis_test::postgres;
use std::sync::atomic::{AtomicU32, Ordering};

/// A database of its own in the server that the tests share.
pub struct Database {
    url: String,
}

impl Database {
    pub async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let create = format!("CREATE DATABASE {name}");
        let server = tokio::task::spawn_blocking(move || {
            let server = postgres::shared();
            server.execute("postgres", &create);
            server
        });
        let server = server.await.unwrap();
        Self { url: server.url(&name) }
    }

    /// A database of a server that the test has started.
    pub fn at(url: String) -> Self {
        Self { url }
    }

    pub fn config(&self) -> StoreConfig {
        StoreConfig {
            url: StoreUrl::Postgres(self.url.clone().into()),
            password_file: None,
            max_connections: 8,
            max_readers: 4,
        }
    }
}
