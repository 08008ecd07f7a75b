//! Encoded items on their way from many threads to one: per-thread buffers, bounded together, with an
//! exact account. Holds bytes and knows nothing of what they mean; who empties it lives in `lines` and `spans`.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Threads share a shard only beyond this many, and then only wait for one another's memcpy.
const SHARDS: usize = 16;
/// A chunk is handed over whole, so this is also the step in which memory is taken.
const CHUNK_BYTES: usize = 64 * 1024;

const TYPICAL_ITEM_BYTES: usize = 512;

/// How much may wait at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub bytes: usize,
    pub items: usize,
    /// No chunk holds more items than this.
    pub items_per_chunk: usize,
    /// From this many bytes on the emptying thread is called at once.
    pub call_at_bytes: usize,
    /// The same in items.
    pub call_at_items: usize,
}

/// Whole items, one after the other.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub bytes: Vec<u8>,
    pub items: usize,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// Kept, and somebody is at it already.
    Kept,
    /// Kept as the first one: the emptying thread has to be told that there is something.
    First,
    /// Kept, and so much waits that it should be fetched now.
    Plenty,
    /// Not kept: the bounds are reached, or the shards are closed.
    Dropped,
}

/// What has passed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// Every item that was ever pushed.
    pub pushed: u64,
    /// Those among them that were not kept.
    pub dropped: u64,
}

#[derive(Debug, Default)]
struct Shard {
    full: Vec<Chunk>,
    open: Chunk,
    passed: Passed,
    closed: bool,
}

/// A shard on cache lines of its own, so that threads do not slow one another.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Aligned(Mutex<Shard>);

/// The buffers. Pushing takes one lock that is nearly always free, and never waits for the emptying thread.
#[derive(Debug)]
pub(super) struct Shards {
    shards: [Aligned; SHARDS],
    bounds: Bounds,
    waiting_bytes: AtomicUsize,
    waiting_items: AtomicUsize,
}

impl Shards {
    pub fn new(bounds: Bounds) -> Self {
        let shards = std::array::from_fn(|_| Aligned::default());
        Self { shards, bounds, waiting_bytes: AtomicUsize::new(0), waiting_items: AtomicUsize::new(0) }
    }

    /// Appends `head` and `body` as one item.
    pub fn push(&self, head: &[u8], body: &[u8]) -> Pushed {
        let length = head.len() + body.len();
        let mut shard = self.shards[thread_slot()].0.lock();
        shard.passed.pushed += 1;
        let Some(pushed) = self.reserve(shard.closed, length) else {
            shard.passed.dropped += 1;
            return Pushed::Dropped;
        };
        let full = shard.open.items >= self.bounds.items_per_chunk;
        if full || (shard.open.items > 0 && shard.open.bytes.len() + length > CHUNK_BYTES) {
            let open = std::mem::take(&mut shard.open);
            shard.full.push(open);
        }
        if shard.open.bytes.capacity() == 0 {
            // A chunk of few items must not hold room for many.
            let expected = self.bounds.items_per_chunk.saturating_mul(TYPICAL_ITEM_BYTES).min(CHUNK_BYTES);
            shard.open.bytes.reserve_exact(expected.max(length));
        }
        shard.open.bytes.extend_from_slice(head);
        shard.open.bytes.extend_from_slice(body);
        shard.open.items += 1;
        pushed
    }

    /// Takes room for one item, or `None` if there is none.
    fn reserve(&self, closed: bool, length: usize) -> Option<Pushed> {
        if closed {
            return None;
        }
        let bytes = self.waiting_bytes.fetch_add(length, Ordering::Relaxed);
        let items = self.waiting_items.fetch_add(1, Ordering::Relaxed);
        if bytes + length > self.bounds.bytes || items + 1 > self.bounds.items {
            self.release(length, 1);
            return None;
        }
        let bytes_reached = bytes < self.bounds.call_at_bytes && bytes + length >= self.bounds.call_at_bytes;
        Some(match items {
            _ if bytes_reached || items + 1 == self.bounds.call_at_items => Pushed::Plenty,
            0 => Pushed::First,
            _ => Pushed::Kept,
        })
    }

    /// Takes everything out. It counts as waiting until [`Self::release`] is told that it is done with.
    pub fn drain(&self, into: &mut impl Extend<Chunk>) {
        for shard in &self.shards {
            let mut shard = shard.0.lock();
            let (full, open) = (std::mem::take(&mut shard.full), std::mem::take(&mut shard.open));
            drop(shard);
            into.extend(full);
            into.extend((open.items > 0).then_some(open));
        }
    }

    /// Gives the room of drained items back.
    pub fn release(&self, bytes: usize, items: usize) {
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.waiting_items.fetch_sub(items, Ordering::Relaxed);
    }

    /// From now on every item is dropped, and counted so.
    pub fn close(&self) {
        self.shards.iter().for_each(|shard| shard.0.lock().closed = true);
    }

    /// Items that were pushed and neither dropped nor released.
    pub fn waiting(&self) -> usize {
        self.waiting_items.load(Ordering::Relaxed)
    }

    pub fn passed(&self) -> Passed {
        self.shards.iter().fold(Passed::default(), |sum, shard| {
            let passed = shard.0.lock().passed;
            Passed { pushed: sum.pushed + passed.pushed, dropped: sum.dropped + passed.dropped }
        })
    }
}

/// The calling thread's shard: threads are dealt out in turn, so that the few that work most share none.
fn thread_slot() -> usize {
    // Numbers threads and holds nothing of the service, so it may be the one static here.
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SLOT: Cell<Option<usize>> = const { Cell::new(None) };
    }
    SLOT.get().unwrap_or_else(|| {
        let slot = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
        SLOT.set(Some(slot));
        slot
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds =
        Bounds { bytes: 1000, items: 50, items_per_chunk: 3, call_at_bytes: 500, call_at_items: 25 };

    #[test]
    fn what_is_pushed_comes_out_in_order_and_in_chunks() {
        let shards = Shards::new(BOUNDS);
        (0u8..7).for_each(|item| assert_ne!(shards.push(&[item], b"x"), Pushed::Dropped));
        let mut chunks = Vec::new();
        shards.drain(&mut chunks);
        assert_eq!(chunks.iter().map(|chunk| chunk.items).collect::<Vec<_>>(), [3, 3, 1]);
        assert_eq!(
            chunks.iter().flat_map(|chunk| chunk.bytes.iter().step_by(2)).copied().collect::<Vec<_>>(),
            [0, 1, 2, 3, 4, 5, 6]
        );
        assert_eq!(shards.waiting(), 7);
        shards.release(14, 7);
        assert_eq!(shards.waiting(), 0);
    }

    #[test]
    fn the_first_and_the_plenty_call_the_emptying_thread() {
        let shards = Shards::new(BOUNDS);
        assert_eq!(shards.push(&[0; 100], &[]), Pushed::First);
        assert_eq!(shards.push(&[0; 399], &[]), Pushed::Kept);
        assert_eq!(shards.push(&[0; 1], &[]), Pushed::Plenty);
        assert_eq!(shards.push(&[0; 1], &[]), Pushed::Kept);
    }

    #[test]
    fn bounds_hold_and_the_account_is_exact_under_contention() {
        let shards = Shards::new(BOUNDS);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let _ = shards.push(&[0; 7], &[0; 3]);
                    }
                });
            }
        });
        let (mut chunks, passed) = (Vec::new(), shards.passed());
        shards.drain(&mut chunks);
        let kept: usize = chunks.iter().map(|chunk| chunk.items).sum();
        assert_eq!(passed.pushed, 8000);
        assert_eq!(passed.dropped + kept as u64, 8000);
        assert!((1..=50).contains(&kept));
    }

    #[test]
    fn after_closing_everything_is_dropped() {
        let shards = Shards::new(BOUNDS);
        shards.push(&[0], &[]);
        shards.close();
        assert_eq!(shards.push(&[0], &[]), Pushed::Dropped);
        assert_eq!(shards.passed(), Passed { pushed: 2, dropped: 1 });
    }
}
