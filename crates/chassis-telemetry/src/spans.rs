//! Ended spans on their way to the collector, behind the SDK and in front of `opentelemetry-otlp`.
//!
//! They wait in memory, bounded by bytes; one thread with a runtime of its own sends them. The account is exact at
//! every moment: ended = exported + failed + dropped + queued.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::{mem, panic::AssertUnwindSafe, thread, time::Duration};

use futures_util::FutureExt as _;
use opentelemetry::{Context, Value};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::timeout};

use crate::{InitError, attributes::AllowList, environment::Export};

/// About 15,000 spans may wait while as many are being sent: half a second at the load that the bench accepts, minutes
/// of an ordinary one. A collector that is away costs this much memory twice, however long it is.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// From this many bytes on spans are sent before the delay is over.
const HURRY_BYTES: usize = 1024 * 1024;

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

/// The spans that ended; what the SDK calls for each. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Spans(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    /// One lock for all threads: they hold it for a copy of some hundred bytes.
    state: Mutex<State>,
    settings: Export,
    /// So much waits that it should be sent now.
    hurry: Notify,
    /// The spans of the last batch that the collector refused in a partial success.
    rejected: Arc<AtomicU64>,
    /// Closed when the thread has ended.
    ended: Mutex<mpsc::Receiver<()>>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<SpanData>,
    /// Of those that wait.
    bytes: usize,
    account: Account,
    closed: bool,
}

impl SpanProcessor for Spans {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let (size, most) = (size(&span), self.0.settings.max_queue_spans);
        let State { waiting, bytes, account, closed } = &mut *self.0.state.lock();
        account.ended += 1;
        if *closed || *bytes + size > MOST_BYTES || account.queued >= most {
            account.dropped += 1;
            return;
        }
        waiting.push(span);
        *bytes += size;
        account.queued += 1;
        if *bytes >= HURRY_BYTES || account.queued >= most.div_ceil(2) {
            self.0.hurry.notify_one();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.hurry.notify_one();
        Ok(())
    }

    /// [`Self::shutdown`] does it.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// About what a span takes in memory.
fn size(span: &SpanData) -> usize {
    let of_events = span.events.iter().flat_map(|event| &event.attributes);
    let of_links = span.links.iter().flat_map(|link| &link.attributes);
    let attributes = span.attributes.iter().chain(of_events).chain(of_links).map(|attribute| {
        64 + if let Value::String(text) = &attribute.value { text.as_str().len() } else { 0 }
    });
    512 + 128 * (span.events.len() + span.links.len()) + attributes.sum::<usize>()
}

impl Spans {
    /// Starts the thread; the exporter is made inside its runtime. `rejected` counts the spans that the collector
    /// refused in a partial success.
    ///
    /// # Errors
    /// What `make` says, or why there is no thread.
    pub fn start<E: SpanExporter + 'static>(
        settings: Export,
        allowed: AllowList,
        rejected: Arc<AtomicU64>,
        make: impl FnOnce() -> Result<E, InitError>,
    ) -> Result<Self, InitError> {
        let (ending, ended) = mpsc::sync_channel(0);
        let (state, hurry, ended) = (Mutex::default(), Notify::new(), Mutex::new(ended));
        let queue = Arc::new(Queue { state, settings, hurry, rejected, ended });
        let spans = Self(Arc::clone(&queue));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let exporter = {
            let _entered = runtime.enter();
            make()?
        };
        let work = move || {
            runtime.block_on(run(&queue, allowed, exporter));
            // A look-up of a name may hang; it must not hold up the end of the process.
            runtime.shutdown_background();
            drop(ending);
        };
        thread::Builder::new().name("span-exporter".to_owned()).spawn(work)?;
        Ok(spans)
    }

    pub fn account(&self) -> Account {
        self.0.state.lock().account
    }

    /// Exports what it can within `wait` and drops the rest; `false` if it had to drop or fail any. Spans that end
    /// later are dropped.
    pub fn shutdown(&self, wait: Duration) -> bool {
        let Queue { state, hurry, ended, .. } = &*self.0;
        state.lock().closed = true;
        let failed_before = state.lock().account.failed;
        hurry.notify_one();
        let _ = ended.lock().recv_timeout(wait);
        let State { waiting, account, .. } = &mut *state.lock();
        waiting.clear();
        let left = mem::take(&mut account.queued);
        account.dropped += left;
        account.failed == failed_before && left == 0
    }
}

/// The exporting thread: sends until the queue is closed and empty.
async fn run(queue: &Queue, allowed: AllowList, exporter: impl SpanExporter) {
    // Whether the last batch went wrong, so that only changes are logged.
    let (mut closed, mut failing) = (false, false);
    while !closed {
        let _ = timeout(queue.settings.delay, queue.hurry.notified()).await;
        let mut spans = {
            let state = &mut *queue.state.lock();
            (closed, state.bytes) = (state.closed, 0);
            let room = Vec::with_capacity(state.waiting.len());
            mem::replace(&mut state.waiting, room).into_iter()
        };
        while spans.len() > 0 {
            let mut batch: Vec<_> = spans.by_ref().take(queue.settings.max_batch_spans).collect();
            batch.iter_mut().for_each(|span| allowed.redact(span));
            let problem = send(queue, &exporter, batch).await;
            match (&problem, failing) {
                (Some(problem), false) => tracing::warn!(problem, "spans cannot be exported"),
                (None, true) => tracing::info!("spans are exported again"),
                _ => {}
            }
            failing = problem.is_some();
        }
    }
}

/// Sends one batch and accounts it, once, whatever becomes of it; says what went wrong.
async fn send(queue: &Queue, exporter: &impl SpanExporter, batch: Vec<SpanData>) -> Option<String> {
    let count = batch.len() as u64;
    queue.rejected.store(0, Relaxed);
    let sending = AssertUnwindSafe(exporter.export(batch)).catch_unwind();
    let problem = match timeout(queue.settings.timeout, sending).await {
        Ok(Ok(result)) => result.err().map(|error| error.to_string()),
        Ok(Err(_panic)) => Some("the exporter panicked".to_owned()),
        Err(_) => Some("timed out".to_owned()),
    };
    let failed = if problem.is_some() { count } else { queue.rejected.load(Relaxed).min(count) };
    let account = &mut queue.state.lock().account;
    // A shutdown that could not wait counted them as dropped.
    if let Some(queued) = account.queued.checked_sub(count) {
        account.queued = queued;
        account.exported += count - failed;
        account.failed += failed;
    }
    problem.or_else(|| (failed > 0).then(|| "the collector refused some of them".to_owned()))
}
