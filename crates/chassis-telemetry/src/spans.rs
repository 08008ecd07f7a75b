//! Ended spans on their way to the collector, behind the SDK and in front of `opentelemetry-otlp`.
//!
//! One thread sends them, with a runtime of its own. The account is exact at every moment:
//! ended = exported + failed + dropped + queued.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::{panic::AssertUnwindSafe, sync::Arc, thread, time::Duration};

use futures_util::FutureExt as _;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::{runtime, time::timeout};

use crate::attributes::{self, AllowList};
use crate::buffer::{Account, Buffer};
use crate::{InitError, environment::Export};

/// The spans that ended. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Spans(Arc<Buffer<SpanData>>);

/// About what a span takes in memory.
fn size(span: &SpanData) -> usize {
    let of_events = span.events.iter().flat_map(|event| &event.attributes);
    let of_links = span.links.iter().flat_map(|link| &link.attributes);
    let attributes = span.attributes.iter().chain(of_events).chain(of_links);
    let attributes = attributes.map(|attribute| 64 + attributes::text(attribute).map_or(0, str::len));
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
        let buffer = Arc::new(Buffer::new(settings.max_queue_spans));
        // Its worker serves the connection while this thread waits for spans.
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let exporter = runtime.block_on(async { make() })?;
        let own = Self(Arc::clone(&buffer));
        thread::Builder::new().name("span-exporter".to_owned()).spawn(move || {
            let (mut spans, mut open, mut failing) = (Vec::new(), true, false);
            while open {
                open = own.0.take(&mut spans, settings.delay);
                let mut spans = spans.drain(..);
                while spans.len() > 0 {
                    let mut batch: Vec<_> = spans.by_ref().take(settings.max_batch_spans).collect();
                    batch.iter_mut().for_each(|span| allowed.redact(span));
                    let count = batch.len() as u64;
                    let (failed, problem) =
                        runtime.block_on(send(batch, &exporter, settings.timeout, &rejected));
                    match (&problem, failing) {
                        (Some(problem), false) => tracing::warn!(problem, "spans cannot be exported"),
                        (None, true) => tracing::info!("spans are exported again"),
                        // Only changes are logged.
                        _ => {}
                    }
                    // After its line: a shutdown waits for no more than this.
                    own.0.settle(count - failed, failed);
                    failing = problem.is_some();
                }
            }
            // A look-up of a name may hang; it must not hold up the end of the process.
            runtime.shutdown_background();
        })?;
        Ok(Self(buffer))
    }

    pub fn push(&self, span: SpanData) {
        self.0.push(size(&span), |waiting| waiting.push(span));
    }

    pub fn account(&self) -> Account {
        self.0.account()
    }

    /// Exports what it can within `wait` and drops the rest; `false` if it had to drop or fail any. Spans that end
    /// later are dropped.
    pub fn shutdown(&self, wait: Duration) -> bool {
        let failed_before = self.account().failed;
        self.0.close(wait) && self.account().failed == failed_before
    }
}

/// Sends one batch; how many of it failed, and why.
async fn send(
    batch: Vec<SpanData>,
    exporter: &impl SpanExporter,
    within: Duration,
    rejected: &AtomicU64,
) -> (u64, Option<String>) {
    let count = batch.len() as u64;
    rejected.store(0, Relaxed);
    let sending = AssertUnwindSafe(exporter.export(batch)).catch_unwind();
    let problem = match timeout(within, sending).await {
        Ok(Ok(Ok(()))) => match rejected.load(Relaxed).min(count) {
            0 => return (0, None),
            some => return (some, Some("the collector refused some of them".to_owned())),
        },
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(_panic)) => "the exporter panicked".to_owned(),
        Err(_) => "timed out".to_owned(),
    };
    (count, Some(problem))
}
