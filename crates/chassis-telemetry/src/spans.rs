//! Ended spans on their way to the collector, behind the SDK and in front of `opentelemetry-otlp`.
//!
//! They wait in per-thread shards, bounded together by bytes; one thread with a runtime of its own sends them. The
//! account is exact at every moment: ended = exported + failed + dropped + queued.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanExporter, SpanProcessor},
};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{sleep, sleep_until, timeout},
};

use crate::{attributes::AllowList, environment::Export, shard};

/// About 30,000 spans: half a second at the load that the bench accepts, minutes of an ordinary one. A collector that
/// is away costs this much memory, however long it is.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// From this many bytes on spans are sent before the delay is over, and a message holds no more: collectors refuse
/// messages above 4 MiB.
const BATCH_BYTES: usize = 1024 * 1024;
/// How many may wait for a flush at once.
const MOST_FLUSHES: usize = 16;
const SHUTDOWN_GRACE: Duration = Duration::from_millis(100);

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

#[derive(Debug, Default)]
struct Shard {
    waiting: Vec<SpanData>,
    ended: u64,
    dropped: u64,
    closed: bool,
}

/// What left the shards.
#[derive(Debug, Default)]
struct Sent {
    in_flight: u64,
    exported: u64,
    failed: u64,
    dropped: u64,
}

#[derive(Debug)]
struct Queue {
    shards: shard::Shards<Shard>,
    /// Locked before any shard by whatever moves spans out of shards, or counts.
    sent: Mutex<Sent>,
    bytes: AtomicUsize,
    spans: AtomicUsize,
    max_spans: usize,
    /// Something waits that the thread does not know of.
    call: Notify,
    /// So much waits that the thread should not gather any longer.
    hurry: Notify,
}

impl Queue {
    fn account(&self) -> Account {
        let sent = self.sent.lock();
        let moved = Account {
            ended: 0,
            exported: sent.exported,
            failed: sent.failed,
            dropped: sent.dropped,
            queued: sent.in_flight,
        };
        self.shards.all().fold(moved, |sum, shard| {
            let shard = shard.lock();
            Account {
                ended: sum.ended + shard.ended,
                dropped: sum.dropped + shard.dropped,
                queued: sum.queued + shard.waiting.len() as u64,
                ..sum
            }
        })
    }

    fn push(&self, span: SpanData) {
        let size = size(&span);
        let mut shard = self.shards.mine().lock();
        shard.ended += 1;
        let (bytes, spans) =
            (self.bytes.fetch_add(size, Ordering::Relaxed), self.spans.fetch_add(1, Ordering::Relaxed));
        if shard.closed || bytes + size > MOST_BYTES || spans >= self.max_spans {
            self.release(size, 1);
            shard.dropped += 1;
            return;
        }
        shard.waiting.push(span);
        drop(shard);
        if spans == 0 {
            self.call.notify_one();
        }
        let half_full = spans + 1 == self.max_spans.div_ceil(2);
        if half_full || bytes < BATCH_BYTES && bytes + size >= BATCH_BYTES {
            self.hurry.notify_one();
        }
    }

    fn release(&self, bytes: usize, spans: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.spans.fetch_sub(spans, Ordering::Relaxed);
    }

    /// Takes everything out of the shards. It counts as queued until it is accounted.
    fn take(&self, backlog: &mut Vec<SpanData>) {
        let mut sent = self.sent.lock();
        for shard in self.shards.all() {
            let mut shard = shard.lock();
            let room = Vec::with_capacity(shard.waiting.len());
            sent.in_flight += shard.waiting.len() as u64;
            backlog.append(&mut std::mem::replace(&mut shard.waiting, room));
        }
    }

    fn close(&self) {
        self.shards.all().for_each(|shard| shard.lock().closed = true);
    }

    /// Counts everything that is left as dropped.
    fn abandon(&self) {
        let mut sent = self.sent.lock();
        sent.dropped += std::mem::take(&mut sent.in_flight);
        for shard in self.shards.all() {
            let mut shard = shard.lock();
            shard.dropped += std::mem::take(&mut shard.waiting).len() as u64;
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
        self.0.hurry.notify_one();
        Ok(())
    }

    /// [`Spans::shutdown`] does it, with a deadline.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The owner's side: account, flush and shutdown. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Spans {
    queue: Arc<Queue>,
    flushes: mpsc::Sender<SyncSender<()>>,
    stop: Arc<watch::Sender<Option<Instant>>>,
    /// Closed when the thread has ended.
    ended: Arc<Mutex<Receiver<()>>>,
}

/// What the thread needs besides the exporter.
pub(crate) struct Work {
    pub export: Export,
    pub resource: Resource,
    pub allowed: AllowList,
    /// Spans that the collector refused in a partial success.
    pub rejected: Arc<AtomicU64>,
}

impl Spans {
    /// Starts the thread, which makes the exporter inside its runtime, now and again should it panic.
    ///
    /// # Errors
    /// What `make` says, or why there is no thread.
    pub fn start<E: SpanExporter + 'static>(
        work: Work,
        make: impl Fn() -> Result<E, String> + Send + 'static,
    ) -> Result<(Self, Processor), String> {
        let queue = Arc::new(Queue {
            shards: shard::Shards::default(),
            sent: Mutex::default(),
            bytes: AtomicUsize::new(0),
            spans: AtomicUsize::new(0),
            max_spans: work.export.max_queue_spans,
            call: Notify::new(),
            hurry: Notify::new(),
        });
        let (flushes, inbox) = mpsc::channel(MOST_FLUSHES);
        let (stop, stopped) = watch::channel(None);
        let (ending, ended) = sync_channel(0);
        let (ready, started) = sync_channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let own = Arc::clone(&queue);
        let run = move || {
            runtime.block_on(async {
                let made =
                    make().map(|exporter| Exporter { queue: own, work, exporter, make, failing: false });
                match made {
                    Ok(exporter) => {
                        let _ = ready.send(Ok(()));
                        exporter.run(inbox, stopped).await;
                    }
                    Err(error) => drop(ready.send(Err(error))),
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
        let spans = Self {
            queue: Arc::clone(&queue),
            flushes,
            stop: Arc::new(stop),
            ended: Arc::new(Mutex::new(ended)),
        };
        Ok((spans, Processor(queue)))
    }

    pub fn account(&self) -> Account {
        self.queue.account()
    }

    /// Exports everything that ended until now; `false` if that takes longer than `wait`.
    pub fn flush(&self, wait: Duration) -> bool {
        let (done, answer) = sync_channel(1);
        self.flushes.try_send(done).is_ok() && answer.recv_timeout(wait).is_ok()
    }

    /// Exports what it can within `wait`, drops the rest, and ends the thread; `false` if it had to drop or fail any.
    /// Spans that end later are dropped.
    pub fn shutdown(&self, wait: Duration) -> bool {
        self.queue.close();
        let before = self.account();
        self.stop.send_replace(Some(Instant::now() + wait));
        // The thread keeps the deadline itself; the grace is for its last steps.
        let _ = self.ended.lock().recv_timeout(wait + SHUTDOWN_GRACE);
        let after = self.account();
        after.queued == 0 && (after.failed, after.dropped) == (before.failed, before.dropped)
    }
}

type Stop = watch::Receiver<Option<Instant>>;

/// The exporting thread.
struct Exporter<E, M> {
    queue: Arc<Queue>,
    work: Work,
    exporter: E,
    make: M,
    /// Whether the last batch went wrong, so that only changes are logged.
    failing: bool,
}

impl<E: SpanExporter, M: Fn() -> Result<E, String>> Exporter<E, M> {
    async fn run(mut self, flushes: mpsc::Receiver<SyncSender<()>>, mut stop: Stop) {
        self.exporter.set_resource(&self.work.resource);
        let deadline = deadline(stop.clone());
        tokio::select! {
            () = self.send_all(flushes, &mut stop) => {}
            () = deadline => {}
        }
        self.queue.abandon();
    }

    /// Returns when it is told to stop and everything is sent.
    async fn send_all(&mut self, mut flushes: mpsc::Receiver<SyncSender<()>>, stop: &mut Stop) {
        let (mut backlog, mut asked) = (Vec::new(), Vec::new());
        loop {
            self.gather(&mut flushes, &mut asked, stop).await;
            self.queue.take(&mut backlog);
            while !backlog.is_empty() {
                self.send(&mut backlog).await;
            }
            // If this fails, nobody waits for the answer any more.
            for flush in asked.drain(..) {
                let _ = SyncSender::try_send(&flush, ());
            }
            if is_set(stop) && self.queue.spans.load(Ordering::Relaxed) == 0 {
                return;
            }
        }
    }

    /// Waits until something should be sent: for spans, then for more of them; at once when asked to flush or to stop.
    async fn gather(
        &self,
        flushes: &mut mpsc::Receiver<SyncSender<()>>,
        asked: &mut Vec<SyncSender<()>>,
        stop: &mut Stop,
    ) {
        // Spans that came while others were sent were not the first, and called nobody.
        if self.queue.spans.load(Ordering::Relaxed) == 0 {
            tokio::select! {
                () = self.queue.call.notified() => {}
                flush = flushes.recv() => return asked.extend(flush),
                _ = stop.wait_for(Option::is_some) => return,
            }
        }
        tokio::select! {
            () = sleep(self.work.export.delay) => {}
            () = self.queue.hurry.notified() => {}
            flush = flushes.recv() => asked.extend(flush),
            _ = stop.wait_for(Option::is_some) => {}
        }
    }

    /// Sends one batch and accounts it, once, whatever becomes of it.
    async fn send(&mut self, backlog: &mut Vec<SpanData>) {
        let (mut bytes, mut count) = (0, 0);
        for span in backlog.iter().take(self.work.export.max_batch_spans) {
            let size = size(span);
            if count > 0 && bytes + size > BATCH_BYTES {
                break;
            }
            (bytes, count) = (bytes + size, count + 1);
        }
        let rest = backlog.split_off(count);
        let mut batch = std::mem::replace(backlog, rest);
        batch.iter_mut().for_each(|span| self.work.allowed.redact(span));
        self.work.rejected.store(0, Ordering::Relaxed);
        let sending = AssertUnwindSafe(self.exporter.export(batch)).catch_unwind();
        let result = match timeout(self.work.export.timeout, sending).await {
            Ok(Ok(result)) => result.map_err(|error| error.to_string()),
            Ok(Err(_panic)) => Err(self.restart()),
            Err(_) => Err("timed out".to_owned()),
        };
        let refused = self.work.rejected.load(Ordering::Relaxed).min(count as u64);
        let failed = if result.is_ok() { refused } else { count as u64 };
        {
            let mut sent = self.queue.sent.lock();
            sent.in_flight -= count as u64;
            sent.exported += count as u64 - failed;
            sent.failed += failed;
        }
        self.queue.release(bytes, count);
        self.report(result.err().or_else(|| (refused > 0).then(|| "the collector refused some".to_owned())));
    }

    /// A new exporter in the place of one that panicked. It lives on if there is none to be had.
    fn restart(&mut self) -> String {
        if let Ok(exporter) = (self.make)() {
            self.exporter = exporter;
            self.exporter.set_resource(&self.work.resource);
        }
        "the exporter panicked".to_owned()
    }

    fn report(&mut self, problem: Option<String>) {
        match &problem {
            Some(problem) if !self.failing => tracing::warn!(problem, "spans cannot be exported"),
            None if self.failing => tracing::info!("spans are exported again"),
            _ => {}
        }
        self.failing = problem.is_some();
    }
}

/// Whether to stop, or nobody is left who could ask for it.
fn is_set(stop: &Stop) -> bool {
    stop.borrow().is_some() || stop.has_changed().is_err()
}

/// Comes at the deadline of the shutdown, once that is known.
async fn deadline(mut stop: Stop) {
    let known = stop.wait_for(Option::is_some).await.map(|deadline| *deadline);
    match known {
        Ok(Some(deadline)) => sleep_until(deadline.into()).await,
        // The owner is gone without a word: there is nobody to wait for, but time to finish.
        _ => sleep(Duration::from_secs(1)).await,
    }
}
