//! Time, in Unix milliseconds.
//!
//! On SQLite what waits for a delay is measured on the monotonic clock, so that a wall clock which is set neither
//! stops a retry nor starts it early; what a caller fixed in time (`run_at`, `not_after`) follows the wall clock at
//! each look. On PostgreSQL both are the server's clock, which is asked with each heartbeat.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Both clocks.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    /// Unix ms at `started`.
    base: AtomicI64,
    /// Whether the wall clock is the steady one: the server's.
    served: bool,
    /// Moves the wall clock, for tests.
    pub(super) shift: AtomicI64,
}

impl Clock {
    /// Of the machine, or of the server whose time is given.
    pub(crate) fn new(server: Option<i64>) -> Self {
        let base = server.unwrap_or_else(machine_ms).into();
        Self { started: Instant::now(), base, served: server.is_some(), shift: 0.into() }
    }

    /// Takes over the server's time, read in this moment.
    pub(crate) fn set(&self, now: i64) {
        self.base.store(now - self.elapsed(), Ordering::Relaxed);
    }

    /// Rises evenly while the process lives.
    pub(crate) fn steady(&self) -> i64 {
        self.base.load(Ordering::Relaxed) + self.elapsed()
    }

    /// What callers call now; it may jump.
    pub(crate) fn wall(&self) -> i64 {
        if self.served { self.steady() } else { machine_ms() + self.shift.load(Ordering::Relaxed) }
    }

    fn elapsed(&self) -> i64 {
        self.started.elapsed().as_millis() as i64
    }
}

fn machine_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}
