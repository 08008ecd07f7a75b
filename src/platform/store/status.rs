//! What is known of the store's health, for readiness, metrics and refusals.

use super::{Ledger, LedgerChange, StoreError, sqlite::Database};
use crate::platform::telemetry::names;
use metrics::{Gauge, gauge};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// Whether commits succeed; the reason if they do not.
pub type Verdict = Result<(), &'static str>;

/// The committer's last word on the store, and the ledger as of the last commit.
pub(super) struct Status {
    verdict: watch::Sender<Verdict>,
    ledger: Mutex<Ledger>,
    /// Transactions that may have changed the file.
    writes: AtomicU64,
    up: Gauge,
    free: Gauge,
}

impl Status {
    pub(super) fn new(ledger: Ledger) -> Self {
        let status = Self {
            verdict: watch::Sender::new(Ok(())),
            ledger: Mutex::new(ledger),
            writes: AtomicU64::new(0),
            up: gauge!(names::STORE_UP),
            free: gauge!(names::STORE_FREE_BYTES),
        };
        status.up.set(1.0);
        status
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Verdict> {
        self.verdict.subscribe()
    }

    pub(super) fn is_up(&self) -> bool {
        self.verdict.borrow().is_ok()
    }

    pub(super) fn ledger(&self) -> Ledger {
        *self.ledger.lock()
    }

    /// How many writes there may have been: a snapshot from before one is out of date.
    pub(super) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Acquire)
    }

    /// After a write, and before anybody is told of it.
    pub(super) fn wrote(&self) {
        self.writes.fetch_add(1, Ordering::Release);
    }

    /// After a commit: the store works, and the ledger has changed.
    pub(super) fn committed(&self, change: &LedgerChange) {
        self.ledger.lock().apply(change);
        self.set(Ok(()));
    }

    /// After a commit whose outcome was uncertain: what the file says.
    pub(super) fn reload(&self, ledger: Ledger) {
        *self.ledger.lock() = ledger;
    }

    pub(super) fn failed(&self, error: &StoreError) {
        if let StoreError::Unavailable(reason) = error {
            self.set(Err(reason));
        }
    }

    pub(super) fn measure(&self, database: &Database) {
        if let Some(bytes) = database.free_bytes() {
            self.free.set(bytes as f64);
        }
    }

    fn set(&self, verdict: Verdict) {
        if *self.verdict.borrow() == verdict {
            return;
        }
        match verdict {
            Ok(()) => tracing::info!("the store commits again"),
            Err(reason) => tracing::error!(reason, "the store can't commit"),
        }
        self.up.set(if verdict.is_ok() { 1.0 } else { 0.0 });
        let _before = self.verdict.send_replace(verdict);
    }
}
