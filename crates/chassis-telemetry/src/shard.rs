//! Sixteen values for the threads to share, so that they rarely wait for one another.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

const SHARDS: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Shards<T>([Aligned<T>; SHARDS]);

/// On cache lines of its own, so that threads do not slow one another.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Aligned<T>(Mutex<T>);

impl<T> Shards<T> {
    /// The calling thread's. Threads are dealt out in turn, so that the few that work most share none.
    pub fn mine(&self) -> &Mutex<T> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static SLOT: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS));
        &self.0[SLOT.get()].0
    }

    pub fn all(&self) -> impl Iterator<Item = &Mutex<T>> {
        self.0.iter().map(|shard| &shard.0)
    }
}
