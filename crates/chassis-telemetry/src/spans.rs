//! Ended spans on their way to the collector, behind the SDK and in front of `opentelemetry-otlp`.
//!
//! They wait in memory, bounded by bytes; one thread with a runtime of its own sends them. The account is exact at
//! every moment: ended = exported + failed + dropped + queued.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use std::{io, mem, sync::Arc, thread};

use futures_util::FutureExt as _;
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::timeout};

use crate::{InitError, attributes::AllowList, environment::Export};

/// About 30,000 spans: half a second at the load that the bench accepts, minutes of an ordinary one. A collector that
/// is away costs this much memory, however long it is.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// From this many bytes on spans are sent before the delay is over, and a message holds no more: collectors refuse
/// messages above 4 MiB.
const BATCH_BYTES: usize = 1024 * 1024;

/// What became of all spans that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub ended: u64,
    /// Accepted by the collector.
    pub exported: u64,
    /// Refused by the collector, or not delivered in time.
    pub failed: u64,
    /// Never sent: the queue was full, or the process ended.
    pub dropped: u64,
    /// Waiting, or being sent.
    pub queued: u64,
}

/// What the SDK calls for each span that ends. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Processor(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    /// One lock for all threads: they hold it for a copy of some hundred bytes.
    state: Mutex<State>,
    settings: Export,
    /// The first span of a batch waits.
    first: Notify,
    /// So much waits that it should be sent now.
    hurry: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<SpanData>,
    /// Of all that are queued.
    bytes: usize,
    account: Account,
    closed: bool,
}

impl Processor {
    pub fn account(&self) -> Account {
        self.0.state.lock().account
    }
}

impl SpanProcessor for Processor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let (size, most) = (size(&span), self.0.settings.max_queue_spans);
        let mut state = self.0.state.lock();
        state.account.ended += 1;
        if state.closed || state.bytes + size > MOST_BYTES || state.account.queued >= most {
            state.account.dropped += 1;
            return;
        }
        state.waiting.push(span);
        state.bytes += size;
        state.account.queued += 1;
        let (bytes, queued) = (state.bytes, state.account.queued);
        drop(state);
        if queued == 1 {
            self.0.first.notify_one();
        }
        if bytes >= BATCH_BYTES && bytes - size < BATCH_BYTES || queued == most.div_ceil(2) {
            self.0.hurry.notify_one();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.hurry.notify_one();
        Ok(())
    }

    /// [`Spans::shutdown`] does it.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// About what a span takes in memory and in a message.
fn size(span: &SpanData) -> usize {
    let attributes = |list: &[KeyValue]| -> usize {
        let text = |value: &Value| if let Value::String(text) = value { text.as_str().len() } else { 0 };
        list.iter().map(|attribute| 64 + text(&attribute.value)).sum()
    };
    let events: usize = span.events.events.iter().map(|event| 96 + attributes(&event.attributes)).sum();
    let links: usize = span.links.links.iter().map(|link| 128 + attributes(&link.attributes)).sum();
    512 + attributes(&span.attributes) + events + links
}

/// The owner's side of a [`Processor`].
pub(crate) struct Spans {
    pub processor: Processor,
    /// Closed when the thread has ended.
    ended: Mutex<Receiver<()>>,
}

impl Spans {
    /// Starts the thread, which makes the exporter inside its runtime, and again should it panic. `rejected` counts
    /// the spans that the collector refused in a partial success.
    ///
    /// # Errors
    /// What `make` says, or why there is no thread.
    pub fn start<E: SpanExporter + 'static>(
        settings: Export,
        allowed: AllowList,
        rejected: Arc<AtomicU64>,
        make: impl Fn() -> Result<E, InitError> + Send + 'static,
    ) -> Result<Self, InitError> {
        let (first, hurry) = (Notify::new(), Notify::new());
        let queue = Arc::new(Queue { state: Mutex::default(), settings, first, hurry });
        let processor = Processor(Arc::clone(&queue));
        let ((ending, ended), (ready, started)) = (sync_channel(0), sync_channel(1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || {
            runtime.block_on(async {
                let (exporter, made) =
                    make().map_or_else(|error| (None, Err(error)), |made| (Some(made), Ok(())));
                let _ = ready.send(made);
                if let Some(exporter) = exporter {
                    Exporter { queue, allowed, rejected, exporter, make, failing: false }.run().await;
                }
            });
            // A look-up of a name may hang; it must not hold up the end of the process.
            runtime.shutdown_background();
            drop(ending);
        };
        thread::Builder::new().name("span-exporter".to_owned()).spawn(run)?;
        started.recv().map_err(io::Error::other)??;
        Ok(Self { processor, ended: Mutex::new(ended) })
    }

    /// Exports what it can within `wait` and drops the rest; `false` if it had to drop or fail any. Spans that end
    /// later are dropped.
    pub fn shutdown(&self, wait: Duration) -> bool {
        let Queue { state, first, hurry, .. } = &*self.processor.0;
        state.lock().closed = true;
        let before = state.lock().account;
        first.notify_one();
        hurry.notify_one();
        let _ = self.ended.lock().recv_timeout(wait);
        let State { waiting, account, .. } = &mut *state.lock();
        waiting.clear();
        let left = mem::take(&mut account.queued);
        account.dropped += left;
        account.failed == before.failed && left == 0
    }
}

/// The exporting thread.
struct Exporter<E, M> {
    queue: Arc<Queue>,
    allowed: AllowList,
    rejected: Arc<AtomicU64>,
    exporter: E,
    make: M,
    /// Whether the last batch went wrong, so that only changes are logged.
    failing: bool,
}

impl<E: SpanExporter, M: Fn() -> Result<E, InitError>> Exporter<E, M> {
    /// Sends until the queue is closed and empty.
    async fn run(mut self) {
        loop {
            // Spans that came while others were sent were not the first, nor those that make it plenty.
            let bytes = self.queue.state.lock().bytes;
            if bytes == 0 {
                self.queue.first.notified().await;
            }
            if bytes < BATCH_BYTES {
                let _ = timeout(self.queue.settings.delay, self.queue.hurry.notified()).await;
            }
            let (mut backlog, closed) = {
                let State { waiting, closed, .. } = &mut *self.queue.state.lock();
                let room = Vec::with_capacity(waiting.len());
                (mem::replace(waiting, room), *closed)
            };
            while !backlog.is_empty() {
                self.send(&mut backlog).await;
            }
            if closed {
                return;
            }
        }
    }

    /// Sends one batch and accounts it, once, whatever becomes of it.
    async fn send(&mut self, backlog: &mut Vec<SpanData>) {
        let (mut bytes, mut count) = (0, 0);
        for size in backlog.iter().map(size).take(self.queue.settings.max_batch_spans) {
            if count > 0 && bytes + size > BATCH_BYTES {
                break;
            }
            (bytes, count) = (bytes + size, count + 1);
        }
        let rest = backlog.split_off(count);
        let mut batch = mem::replace(backlog, rest);
        batch.iter_mut().for_each(|span| self.allowed.redact(span));
        self.rejected.store(0, Relaxed);
        let sending = AssertUnwindSafe(self.exporter.export(batch)).catch_unwind();
        let problem = match timeout(self.queue.settings.timeout, sending).await {
            Ok(Ok(result)) => result.err().map(|error| error.to_string()),
            Err(_) => Some("timed out".to_owned()),
            Ok(Err(_panic)) => {
                // The old one goes on if there is no new one to be had.
                if let Ok(exporter) = (self.make)() {
                    self.exporter = exporter;
                }
                Some("the exporter panicked".to_owned())
            }
        };
        let (count, rejected) = (count as u64, self.rejected.load(Relaxed));
        let failed = if problem.is_some() { count } else { rejected.min(count) };
        {
            let State { bytes: all, account, .. } = &mut *self.queue.state.lock();
            // A shutdown that could not wait counted them as dropped.
            if let Some(queued) = account.queued.checked_sub(count) {
                (*all, account.queued) = (*all - bytes, queued);
                account.exported += count - failed;
                account.failed += failed;
            }
        }
        match problem.or_else(|| (failed > 0).then(|| "the collector refused some of them".to_owned())) {
            Some(problem) if !mem::replace(&mut self.failing, true) => {
                tracing::warn!(problem, "spans cannot be exported");
            }
            None if mem::take(&mut self.failing) => tracing::info!("spans are exported again"),
            _ => {}
        }
    }
}
