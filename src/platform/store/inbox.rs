//! Writes on their way to the committer: handed over one by one, taken all at once.

use super::pending::Pending;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::{
    mem,
    time::{Duration, Instant},
};

/// Writes in one transaction at most, so that no caller waits for an endless batch.
const BATCH: usize = 4096;
/// Writes in a batch that show a heavy load, and how long the next one is then gathered.
const BUSY: usize = 8;
const GATHER: Duration = Duration::from_millis(1);
/// A pause without a write in which gathering ends: nobody else is on the way.
const PAUSE: Duration = Duration::from_micros(100);
/// How often a store that failed is tried again, and the disk's free space measured.
pub(super) const IDLE: Duration = Duration::from_secs(1);

pub(super) type Batch = Vec<Box<dyn Pending>>;

/// Writes that wait for the committer.
#[derive(Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    writes: Batch,
    asleep: bool,
    /// How many writes the committer waits for, while it gathers.
    wanted: usize,
    closed: bool,
}

impl Inbox {
    /// Hands a write over; gives it back if the committer has ended.
    pub(super) fn push(&self, write: Box<dyn Pending>) -> Result<(), Box<dyn Pending>> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(write);
        }
        waiting.writes.push(write);
        let enough = waiting.writes.len() == waiting.wanted;
        if mem::take(&mut waiting.asleep) || enough {
            drop(waiting);
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// No more writes are taken; those that wait are still committed.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.arrived.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.waiting.lock().closed
    }

    /// Everything that waits; empty after [`IDLE`] without a write; `None` once closed and empty.
    ///
    /// After a batch of `before` writes that shows a heavy load, a moment is spent on gathering more: each
    /// commit costs about as much as ten of its rows, and callers who fill the machine lose nothing by it.
    pub(super) fn take(&self, before: usize) -> Option<Batch> {
        let mut waiting = self.waiting.lock();
        if waiting.writes.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting.asleep = true;
            self.arrived.wait_for(&mut waiting, IDLE);
            waiting.asleep = false;
        }
        if before >= BUSY && !waiting.closed {
            self.gather(&mut waiting, 2 * before);
        }
        let rest = if waiting.writes.len() > BATCH { waiting.writes.split_off(BATCH) } else { Batch::new() };
        Some(mem::replace(&mut waiting.writes, rest))
    }

    /// Waits until `wanted` writes are there, a pause shows that no more are coming, or the time is over.
    fn gather(&self, waiting: &mut MutexGuard<'_, Waiting>, wanted: usize) {
        let until = Instant::now() + GATHER;
        waiting.wanted = wanted;
        let mut seen = 0;
        while (seen + 1..wanted).contains(&waiting.writes.len()) && Instant::now() < until {
            seen = waiting.writes.len();
            self.arrived.wait_for(waiting, PAUSE);
        }
        waiting.wanted = 0;
    }
}
