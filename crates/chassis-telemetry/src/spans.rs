//! Ended spans on their way to the collector, behind the SDK and in front of `opentelemetry-otlp`.
//!
//! They wait in per-thread shards, bounded together by bytes; one thread with a runtime of its own sends them. The
//! account is exact at every moment: ended = exported + failed + dropped + queued.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use futures_util::FutureExt as _;
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use parking_lot::Mutex;
use tokio::{sync::mpsc, time::timeout};

use crate::{attributes::AllowList, environment::Export, shard::Shards};

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
    pub queued: u64,
}

#[derive(Debug)]
struct Queue {
    shards: Shards<Shard>,
    /// What left the shards; its `queued` is being sent. Locked before any shard by whatever moves or counts spans.
    sent: Mutex<Account>,
    bytes: AtomicUsize,
    spans: AtomicUsize,
    max_spans: usize,
    closed: AtomicBool,
    calls: mpsc::Sender<Call>,
}

#[derive(Debug, Default)]
struct Shard {
    waiting: Vec<SpanData>,
    ended: u64,
    dropped: u64,
}

#[derive(Debug, PartialEq)]
enum Call {
    /// Something waits; more may come.
    Gather,
    /// So much waits that it should be sent now.
    Send,
}

impl Queue {
    fn account(&self) -> Account {
        let sent = self.sent.lock();
        let mut account = *sent;
        for shard in self.shards.all() {
            let shard = shard.lock();
            account.ended += shard.ended;
            account.dropped += shard.dropped;
            account.queued += shard.waiting.len() as u64;
        }
        account
    }

    fn push(&self, span: SpanData) {
        let size = size(&span);
        let mut shard = self.shards.mine().lock();
        shard.ended += 1;
        let (bytes, spans) = (self.bytes.fetch_add(size, Relaxed), self.spans.fetch_add(1, Relaxed));
        if self.closed.load(Relaxed) || bytes + size > MOST_BYTES || spans >= self.max_spans {
            shard.dropped += 1;
            return self.release(size, 1);
        }
        shard.waiting.push(span);
        drop(shard);
        if bytes < BATCH_BYTES && bytes + size >= BATCH_BYTES || spans + 1 == self.max_spans.div_ceil(2) {
            let _ = self.calls.try_send(Call::Send);
        } else if spans == 0 {
            let _ = self.calls.try_send(Call::Gather);
        }
    }

    fn release(&self, bytes: usize, spans: usize) {
        self.bytes.fetch_sub(bytes, Relaxed);
        self.spans.fetch_sub(spans, Relaxed);
    }

    /// Takes everything out of the shards. It counts as queued until it is accounted.
    fn take(&self, backlog: &mut Vec<SpanData>) {
        let mut sent = self.sent.lock();
        for shard in self.shards.all() {
            let mut shard = shard.lock();
            let room = Vec::with_capacity(shard.waiting.len());
            sent.queued += shard.waiting.len() as u64;
            backlog.append(&mut std::mem::replace(&mut shard.waiting, room));
        }
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

/// What the SDK calls for each span that ends.
#[derive(Debug)]
pub(crate) struct Processor(Arc<Queue>);

impl SpanProcessor for Processor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        let _ = self.0.calls.try_send(Call::Send);
        Ok(())
    }

    /// [`Spans::shutdown`] does it.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The owner's side: account and shutdown. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Spans {
    queue: Arc<Queue>,
    /// Closed when the thread has ended.
    ended: Arc<Mutex<Receiver<()>>>,
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
        make: impl Fn() -> Result<E, String> + Send + 'static,
    ) -> Result<(Self, Processor), String> {
        let (calls, inbox) = mpsc::channel(16);
        let queue = Arc::new(Queue {
            shards: Shards::default(),
            sent: Mutex::default(),
            bytes: AtomicUsize::new(0),
            spans: AtomicUsize::new(0),
            max_spans: settings.max_queue_spans,
            closed: AtomicBool::new(false),
            calls,
        });
        let (ending, ended) = sync_channel(0);
        let (ready, started) = sync_channel(1);
        let own = Arc::clone(&queue);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let run = move || {
            runtime.block_on(async {
                let made = make();
                let _ = ready.send(made.as_ref().map(|_| ()).map_err(String::clone));
                if let Ok(exporter) = made {
                    Exporter { queue: own, settings, allowed, rejected, exporter, make, failing: false }
                        .run(inbox)
                        .await;
                }
            });
            // A look-up of a name may hang; it must not hold up the end of the process.
            runtime.shutdown_background();
            drop(ending);
        };
        thread::Builder::new()
            .name("span-exporter".to_owned())
            .spawn(run)
            .map_err(|error| error.to_string())?;
        started.recv().map_err(|error| error.to_string())??;
        Ok((Self { queue: Arc::clone(&queue), ended: Arc::new(Mutex::new(ended)) }, Processor(queue)))
    }

    pub fn account(&self) -> Account {
        self.queue.account()
    }

    /// Exports what it can within `wait` and drops the rest; `false` if it had to drop or fail any. Spans that end
    /// later are dropped.
    pub fn shutdown(&self, wait: Duration) -> bool {
        let before = self.account();
        self.queue.closed.store(true, Relaxed);
        let _ = self.queue.calls.try_send(Call::Send);
        let _ = self.ended.lock().recv_timeout(wait);
        let mut left = Vec::new();
        self.queue.take(&mut left);
        let mut sent = self.queue.sent.lock();
        sent.dropped += std::mem::take(&mut sent.queued);
        (sent.failed, sent.dropped) == (before.failed, 0)
    }
}

/// The exporting thread.
struct Exporter<E, M> {
    queue: Arc<Queue>,
    settings: Export,
    allowed: AllowList,
    rejected: Arc<AtomicU64>,
    exporter: E,
    make: M,
    /// Whether the last batch went wrong, so that only changes are logged.
    failing: bool,
}

impl<E: SpanExporter, M: Fn() -> Result<E, String>> Exporter<E, M> {
    /// Sends until the queue is closed and empty.
    async fn run(mut self, mut calls: mpsc::Receiver<Call>) {
        let mut backlog = Vec::new();
        loop {
            // Spans that came while others were sent were not the first, and called nobody.
            let waiting = self.queue.spans.load(Relaxed) > 0;
            let call = if waiting { Some(Call::Gather) } else { calls.recv().await };
            if call == Some(Call::Gather) && !self.queue.closed.load(Relaxed) {
                let more = async { while calls.recv().await == Some(Call::Gather) {} };
                let _ = timeout(self.settings.delay, more).await;
            }
            let closed = self.queue.closed.load(Relaxed);
            self.queue.take(&mut backlog);
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
        for size in backlog.iter().map(size).take(self.settings.max_batch_spans) {
            if count > 0 && bytes + size > BATCH_BYTES {
                break;
            }
            (bytes, count) = (bytes + size, count + 1);
        }
        let rest = backlog.split_off(count);
        let mut batch = std::mem::replace(backlog, rest);
        batch.iter_mut().for_each(|span| self.allowed.redact(span));
        self.rejected.store(0, Relaxed);
        let sending = AssertUnwindSafe(self.exporter.export(batch)).catch_unwind();
        let problem = match timeout(self.settings.timeout, sending).await {
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
        self.queue.release(bytes, count as usize);
        {
            let mut sent = self.queue.sent.lock();
            // A shutdown that could not wait counted them as dropped.
            if sent.queued >= count {
                sent.queued -= count;
                sent.exported += count - failed;
                sent.failed += failed;
            }
        }
        match problem.or_else(|| (failed > 0).then(|| "the collector refused some of them".to_owned())) {
            Some(problem) if !std::mem::replace(&mut self.failing, true) => {
                tracing::warn!(problem, "spans cannot be exported");
            }
            None if std::mem::take(&mut self.failing) => tracing::info!("spans are exported again"),
            _ => {}
        }
    }
}
