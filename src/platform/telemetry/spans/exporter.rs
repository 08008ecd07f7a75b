//! The exporting thread: gathers, batches, sends, retries, and accounts each batch once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};
use std::{io, thread};

use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};

use super::Queue;
use super::client::Client;
use super::message::{Batch, Envelope};
use super::retry::{Again, Failure, MAX_ATTEMPTS, delay};
use crate::platform::telemetry::config::Export;
use crate::platform::telemetry::shards::Chunk;

/// Told when everything that had ended at the time of asking is exported or failed.
pub(super) type Flush = SyncSender<()>;
/// Set to the deadline of the shutdown.
type Stop = watch::Receiver<Option<Instant>>;

pub(super) struct Exporter {
    queue: Arc<Queue>,
    export: Export,
    envelope: Envelope,
    backlog: VecDeque<Chunk>,
    /// Whether the last batch went wrong, so that only changes are logged.
    failing: bool,
}

impl Exporter {
    pub fn new(queue: Arc<Queue>, export: Export, envelope: Envelope) -> Self {
        Self { queue, export, envelope, backlog: VecDeque::new(), failing: false }
    }

    /// Runs on a thread and runtime of its own, so that exporting never competes with requests for a worker.
    /// `ended` is dropped as the thread's last step.
    pub fn start(self, flushes: Receiver<Flush>, stop: Stop, ended: SyncSender<()>) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(async { Client::new(&self.export) }).map_err(io::Error::other)?;
        let run = move || {
            runtime.block_on(self.run(client, flushes, stop));
            // A look-up of a name may hang; it must not hold the end of the process.
            runtime.shutdown_background();
            drop(ended);
        };
        thread::Builder::new().name("span-exporter".to_owned()).spawn(run)?;
        Ok(())
    }

    async fn run(mut self, client: Client, flushes: Receiver<Flush>, mut stop: Stop) {
        let deadline = deadline(stop.clone());
        tokio::select! {
            () = self.work(client, flushes, &mut stop) => {}
            () = deadline => {}
        }
        // The shards are closed, so what waits now is all that will ever be dropped here.
        let left = self.queue.shards.waiting();
        self.queue.abandoned.fetch_add(left as u64, Ordering::Relaxed);
        self.queue.shards.release(0, left);
    }

    /// Returns when it is told to stop and everything is sent.
    async fn work(&mut self, mut client: Client, mut flushes: Receiver<Flush>, stop: &mut Stop) {
        let mut asked: Vec<Flush> = Vec::new();
        let max_spans = self.export.batching.max_batch_spans.unwrap_or(usize::MAX);
        loop {
            self.gather(&mut flushes, &mut asked, stop).await;
            self.queue.shards.drain(&mut self.backlog);
            while let Some(batch) = self.envelope.next_batch(&mut self.backlog, max_spans) {
                self.send(&mut client, batch, stop).await;
            }
            for flush in asked.drain(..) {
                // If this fails, nobody waits for the answer any more.
                let _ = flush.try_send(());
            }
            if stopping(stop) && self.queue.shards.waiting() == 0 {
                return;
            }
        }
    }

    /// Waits until something should be sent: for spans, then for more of them; at once when asked to
    /// flush or to stop.
    async fn gather(&self, flushes: &mut Receiver<Flush>, asked: &mut Vec<Flush>, stop: &mut Stop) {
        // Spans that came while others were sent found themselves not the first and called nobody.
        if self.queue.shards.waiting() == 0 {
            tokio::select! {
                () = self.queue.call.notified() => {}
                flush = flushes.recv() => return asked.extend(flush),
                _ = stop.wait_for(Option::is_some) => return,
            }
        }
        tokio::select! {
            () = sleep(self.export.batching.delay) => {}
            () = self.queue.hurry.notified() => {}
            flush = flushes.recv() => asked.extend(flush),
            _ = stop.wait_for(Option::is_some) => {}
        }
    }

    /// Sends a batch, again where that may help, and accounts it.
    async fn send(&mut self, client: &mut Client, batch: Batch, stop: &mut Stop) {
        let limit = tokio::time::Instant::now() + self.export.batching.export_timeout;
        let mut attempt = 1;
        let outcome = loop {
            let call = timeout(self.export.timeout, client.send(batch.message.clone()));
            let outcome =
                timeout_at(limit, call).await.ok().and_then(Result::ok).unwrap_or(Err(Failure::TIMED_OUT));
            let failure = match outcome {
                Err(failure) if failure.again != Again::Never => failure,
                outcome => break outcome,
            };
            attempt += 1;
            let wait = delay(attempt, &failure.again);
            let too_late = tokio::time::Instant::now() + wait >= limit;
            // A process that stops does not wait for a collector that is away.
            if attempt > MAX_ATTEMPTS || too_late || stopping(stop) {
                break Err(failure);
            }
            let _ = timeout(wait, stop.wait_for(Option::is_some)).await;
        };
        self.account(&batch, outcome);
    }

    fn account(&mut self, batch: &Batch, outcome: Result<u64, Failure>) {
        let spans = batch.spans as u64;
        let failed = outcome.as_ref().map_or(spans, |rejected| spans.min(*rejected));
        self.queue.exported.fetch_add(spans - failed, Ordering::Relaxed);
        self.queue.failed.fetch_add(failed, Ordering::Relaxed);
        self.queue.shards.release(batch.bytes, batch.spans);
        match outcome {
            Err(failure) if !self.failing => {
                tracing::warn!(error_kind = failure.kind, "spans cannot be exported");
            }
            Ok(_) if self.failing => tracing::info!("spans are exported again"),
            _ => {}
        }
        self.failing = failed > 0;
    }
}

/// Whether to stop, or nobody is left who could say so.
fn stopping(stop: &Stop) -> bool {
    stop.borrow().is_some() || stop.has_changed().is_err()
}

/// Comes at the deadline of the shutdown, once that is known.
async fn deadline(mut stop: Stop) {
    let known = stop.wait_for(Option::is_some).await.map(|deadline| *deadline);
    match known {
        Ok(Some(deadline)) => sleep_until(deadline.into()).await,
        // The owner went without a word: there is nobody to wait for, but time to finish.
        _ => sleep(Duration::from_secs(1)).await,
    }
}
