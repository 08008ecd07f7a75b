//! The spans: a layer that encodes what is said of each while it lasts, and the thread that exports them.
//!
//! The account is exact: ended = exported + failed + dropped + queued, to the unit when at rest.

mod client;
mod encode;
mod exporter;
mod layer;
mod live;
mod message;
mod retry;
mod wire;

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc::{self, Sender};
use tokio::sync::{Notify, watch};

use super::config::{Batching, Export};
use super::shards::{Bounds, Pushed, Shards};
use exporter::{Exporter, Flush};

pub(super) use layer::{SpanLayer, context_at};
pub(super) use live::Live;

/// 8 MiB are about 30,000 spans: half a second at the most that the service accepts, and minutes of an
/// ordinary load. With what is being sent, and the room that open chunks hold, a collector that is away
/// costs less than 16 MB, however long it is.
const QUEUE_BYTES: usize = 8 * 1024 * 1024;
/// From this many bytes on a message is worth sending before the delay is over.
const CALL_AT_BYTES: usize = 1024 * 1024;
/// How many may wait for a flush at once.
const MAX_FLUSHES: usize = 16;
const SHUTDOWN_GRACE: Duration = Duration::from_millis(100);

/// What became of all spans that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub ended: u64,
    /// Accepted by the collector.
    pub exported: u64,
    /// Refused by the collector, or not delivered in time.
    pub failed: u64,
    /// Never sent: the queue was full, or the process ended.
    pub dropped: u64,
    /// On their way.
    pub queued: u64,
}

/// The queue between the processor and the exporting thread, with its account.
struct Queue {
    shards: Shards,
    /// Something waits that the exporting thread does not know of.
    call: Notify,
    /// So much waits that it should not gather any longer.
    hurry: Notify,
    exported: AtomicU64,
    failed: AtomicU64,
    /// Dropped after they were taken out of the shards.
    abandoned: AtomicU64,
}

impl Queue {
    fn account(&self) -> Account {
        let passed = self.shards.passed();
        Account {
            ended: passed.pushed,
            exported: self.exported.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            dropped: passed.dropped + self.abandoned.load(Ordering::Relaxed),
            queued: self.shards.waiting() as u64,
        }
    }
}

fn bounds(batching: Batching) -> Bounds {
    let items_per_chunk = batching.max_batch_spans.unwrap_or(usize::MAX);
    let items = batching.max_queue_spans.unwrap_or(usize::MAX);
    Bounds {
        bytes: QUEUE_BYTES,
        items,
        items_per_chunk,
        call_at_bytes: CALL_AT_BYTES,
        // Half full; or a whole batch, if that is less.
        call_at_items: items_per_chunk.min(items.div_ceil(2)),
    }
}

/// The sending side: what the layer calls for each span that ends.
pub(super) struct Processor {
    queue: Arc<Queue>,
}

thread_local! {
    /// A span's tag and length, before both are copied to the thread's buffer in one piece.
    static HEAD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Processor {
    /// Takes an encoded span.
    fn end(&self, span: &[u8]) {
        // Nothing that runs in here ends another span, so the head is always free.
        HEAD.with_borrow_mut(|head| {
            head.clear();
            message::span_head(head, span);
            match self.queue.shards.push(head, span) {
                Pushed::First => self.queue.call.notify_one(),
                Pushed::Plenty => {
                    self.queue.call.notify_one();
                    self.queue.hurry.notify_one();
                }
                Pushed::Kept | Pushed::Dropped => {}
            }
        });
    }
}

/// The owner's side: account, flush and shutdown.
#[derive(Clone)]
pub(super) struct Spans {
    queue: Arc<Queue>,
    flushes: Sender<Flush>,
    stop: Arc<watch::Sender<Option<Instant>>>,
    /// Closed when the thread has ended.
    ended: Arc<Mutex<Receiver<()>>>,
}

impl Spans {
    /// Starts the exporting thread. `resource` describes this process to the collector.
    pub fn start(export: &Export, resource: &[(String, String)]) -> io::Result<(Self, Processor)> {
        let queue = Arc::new(Queue {
            shards: Shards::new(bounds(export.batching)),
            call: Notify::new(),
            hurry: Notify::new(),
            exported: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
        });
        let (flushes, inbox) = mpsc::channel(MAX_FLUSHES);
        let (stop, stopped) = watch::channel(None);
        let (ending, ended) = sync_channel(0);
        let envelope = message::Envelope::new(resource);
        Exporter::new(Arc::clone(&queue), export.clone(), envelope).start(inbox, stopped, ending)?;
        let (stop, ended) = (Arc::new(stop), Arc::new(Mutex::new(ended)));
        Ok((Self { queue: Arc::clone(&queue), flushes, stop, ended }, Processor { queue }))
    }

    pub fn account(&self) -> Account {
        self.queue.account()
    }

    /// Exports everything that ended until now; `false` if that takes longer than `wait`.
    pub fn flush(&self, wait: Duration) -> bool {
        let (done, answer) = sync_channel(1);
        self.flushes.try_send(done).is_ok() && answer.recv_timeout(wait).is_ok()
    }

    /// Exports what it can within `wait`, drops the rest, and ends the thread; `false` if it had to drop or
    /// fail any. Spans that end later are dropped.
    pub fn shutdown(&self, wait: Duration) -> bool {
        self.queue.shards.close();
        let before = self.account();
        self.stop.send_replace(Some(Instant::now() + wait));
        // The thread keeps the deadline itself; the grace is for its last steps.
        let _ = self.ended.lock().recv_timeout(wait + SHUTDOWN_GRACE);
        let after = self.account();
        after.queued == 0 && (after.failed, after.dropped) == (before.failed, before.dropped)
    }
}
