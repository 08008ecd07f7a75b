//! The dispatcher: one transaction after another ends attempts and starts due jobs for the workers that are free.

use crate::attempt::Ended;
use crate::queue::{Core, InHand, LINKS, commit_span};
use crate::{Fact, JobRecord, JobState, Ledger, Priority, Result, StoreError, Tx, Worker, metrics};
use chassis_telemetry::{SpanExt as _, names};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{sleep, sleep_until, timeout};
use tracing::{Instrument as _, Span};

/// Between two looks for due jobs if nothing wakes the dispatcher; with jitter, for replicas.
const POLL: Duration = Duration::from_millis(250);
/// After a transaction that failed.
const AGAIN: Duration = Duration::from_millis(250);
/// A transaction of the dispatcher takes no longer, or its connection is closed.
const LONGEST: Duration = Duration::from_secs(10);

/// The workers of one channel.
struct Lane {
    channel: &'static str,
    /// There may be due jobs.
    look: bool,
    /// Bulk jobs may wait for another to end: they never run on all workers, so that an urgent job need not wait.
    more_bulk: bool,
}

/// Wakes the dispatcher for the channels, by their index, that may have due jobs: a look costs a transaction.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    lanes: AtomicU64,
    signal: Notify,
}

impl Wake {
    pub(crate) const ALL: u64 = u64::MAX;

    /// Channels beyond the 64th share one bit.
    pub(crate) fn lane(index: usize) -> u64 {
        1 << index.min(63)
    }

    pub(crate) fn wake(&self, lanes: u64) {
        self.lanes.fetch_or(lanes, Ordering::AcqRel);
        self.signal.notify_one();
    }

    async fn woken(&self) -> u64 {
        self.signal.notified().await;
        self.lanes.swap(0, Ordering::AcqRel)
    }
}

struct Dispatcher<W: Worker> {
    core: Arc<Core<W>>,
    lanes: Vec<Lane>,
    /// Ended, not committed.
    ended: Vec<Ended>,
    next_look: Instant,
}

impl<W: Worker> Core<W> {
    /// Runs until the queue is stopped and the attempts in hand are committed.
    pub(crate) async fn dispatch(self: &Arc<Self>) {
        let mut ended = self.ended.lock().await;
        let lane = |channel: &&'static str| Lane { channel, look: true, more_bulk: false };
        let lanes = self.setup.channels.iter().map(lane).collect();
        let mut dispatcher =
            Dispatcher { core: Arc::clone(self), lanes, ended: Vec::new(), next_look: Instant::now() };
        loop {
            let stopping = self.stop.is_cancelled();
            if stopping && dispatcher.ended.is_empty() && self.in_hand.lock().is_empty() {
                return;
            }
            tokio::select! {
                Some(one) = ended.recv() => dispatcher.take(one),
                lanes = self.wake.woken() => dispatcher.look(lanes),
                () = sleep_until(dispatcher.next_look.into()), if !stopping => dispatcher.look(Wake::ALL),
                () = self.stop.cancelled(), if !stopping => {}
            }
            // Attempts that end at once share the next transaction.
            yield_now().await;
            loop {
                while let Ok(more) = ended.try_recv() {
                    dispatcher.take(more);
                }
                if !dispatcher.has_work() {
                    break;
                }
                if !dispatcher.turn().await {
                    sleep(AGAIN).await;
                    let _ = self.store.outages().wait_for(Option::is_none).await;
                }
            }
        }
    }

    /// A channel's free workers, and how many of its jobs that run are bulk.
    fn workers_of(&self, channel: &'static str) -> (usize, usize) {
        let in_hand = self.in_hand.lock();
        let busy = || in_hand.values().filter(|job| job.channel == channel && !job.sync);
        let bulk = busy().filter(|job| job.priority == Priority::Bulk).count();
        let setup = &self.setup;
        let workers = if setup.worker.paused(channel) { 0 } else { setup.config.workers };
        (workers.saturating_sub(busy().count()), bulk)
    }
}

impl<W: Worker> Dispatcher<W> {
    fn look(&mut self, lanes: u64) {
        // A look for some channels puts off none for the others.
        if lanes == Wake::ALL {
            self.next_look = Instant::now() + POLL.mul_f64(rand::random_range(0.75..1.25));
        }
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            lane.look |= lanes & Wake::lane(index) != 0;
        }
    }

    /// Takes an attempt that has ended, and gives its worker back.
    fn take(&mut self, ended: Ended) {
        self.core.in_hand.lock().remove(&ended.job.id.0);
        self.ended.push(ended);
    }

    fn has_work(&self) -> bool {
        let core = &self.core;
        let takes = |lane: &Lane| lane.look && core.workers_of(lane.channel).0 > 0;
        !self.ended.is_empty() || !core.stop.is_cancelled() && self.lanes.iter().any(takes)
    }

    /// One transaction. `false` if it failed: what has ended is kept.
    async fn turn(&mut self) -> bool {
        let ended = self.ended.len();
        // A look that finds nothing has no span.
        let mut span = if ended > 0 { self.span() } else { Span::none() };
        let around = span.clone();
        let result = timeout(LONGEST, self.commit(&mut span)).instrument(around).await;
        let result = result.unwrap_or(Err(StoreError::CommitUnknown("a transaction took too long")));
        let started = result.as_ref().map_or(0, Vec::len);
        span.record("db.operation.batch.size", (ended + started) as i64);
        match result {
            Ok(started) => {
                let links = LINKS.saturating_sub(ended);
                started.iter().take(links).for_each(|job| span.link_to(job.trace));
                drop(span);
                started.into_iter().for_each(|job| self.start(job));
                true
            }
            Err(error) => {
                self.look(Wake::ALL);
                // Also where it was set before, and this transaction was to resolve it.
                self.core.doubt.store(true, Ordering::Relaxed);
                span.record(names::OTEL_STATUS_CODE, "ERROR");
                span.in_scope(
                    || tracing::warn!(%error, ended, "attempts could not be committed; trying again"),
                );
                let doubtful = matches!(error, StoreError::CommitUnknown(_));
                self.ended.iter_mut().for_each(|ended| ended.doubtful |= doubtful);
                false
            }
        }
    }

    fn span(&self) -> Span {
        let contexts = self.ended.iter().filter_map(|ended| ended.span.trace_context());
        commit_span(&self.core.store, None, contexts)
    }

    /// Ends attempts, and starts as many jobs as there are free workers. Gives those that started.
    async fn commit(&mut self, span: &mut Span) -> Result<Vec<JobRecord>> {
        let core = Arc::clone(&self.core);
        let begun = Instant::now();
        let (mut tx, _counting) = core.begin().await?;
        let found = core.complete(&mut tx, &self.ended).await?;
        let mut started = Vec::new();
        if core.doubt.swap(false, Ordering::Relaxed) {
            started = core.unaccounted(&mut tx).await?;
        }
        for lane in self.lanes.iter_mut().filter(|_| !core.stop.is_cancelled()) {
            let (free, bulk) = core.workers_of(lane.channel);
            let bulk_of_lane =
                |ended: &Ended| ended.job.channel == lane.channel && ended.job.priority == Priority::Bulk;
            if free > 0 && (lane.look || lane.more_bulk && self.ended.iter().any(bulk_of_lane)) {
                let most_bulk =
                    core.setup.config.workers.saturating_sub(1).max(1).saturating_sub(bulk).min(free);
                let claimed = core.claim(&mut tx, lane.channel, free, most_bulk).await?;
                lane.look = claimed.len() == free;
                let bulk = claimed.iter().filter(|job| job.priority == Priority::Bulk).count();
                lane.more_bulk = bulk == most_bulk;
                started.extend(claimed);
            }
        }
        if span.is_none() && !started.is_empty() {
            *span = self.span();
        }
        let expired = started.iter().filter(|job| job.state == JobState::Expired).count() as i64;
        core.write_ledger(&mut tx, Ledger { expired, ..Ledger::default() }).await?;
        tx.commit().instrument(span.clone()).await?;
        let took = begun.elapsed();
        span.in_scope(|| {
            metrics::committed(&core.store, "complete", found.len(), took);
            metrics::committed(&core.store, "begin", started.len(), took);
        });
        let ended = std::mem::take(&mut self.ended);
        let again = ended.iter().filter(|ended| !ended.decision.state.is_final());
        if let Some(delay) = again.map(|ended| ended.decision.delay).min() {
            self.next_look = self.next_look.min(Instant::now() + delay);
        }
        core.completed(ended, &found);
        Ok(started)
    }

    /// Hands a job to a worker.
    fn start(&self, job: JobRecord) {
        let core = Arc::clone(&self.core);
        let JobRecord { id, channel, priority, state, sync, .. } = job;
        if state == JobState::Expired {
            core.setup.worker.observe(&Fact::Finished { channel, priority, state, end_to_end: None });
            core.backlog.finished(1);
            return;
        }
        core.in_hand.lock().insert(id.0, InHand { channel, priority, sync });
        #[expect(clippy::disallowed_methods, reason = "each attempt has a span of its own")]
        tokio::spawn(async move {
            let ended = job.attempt(&core).await;
            // The dispatcher waits for every attempt: it takes this one.
            let _ = core.ends.send(ended).await;
        });
    }
}

impl<W: Worker> Core<W> {
    async fn claim(
        &self,
        tx: &mut Tx,
        channel: &'static str,
        free: usize,
        most_bulk: usize,
    ) -> Result<Vec<JobRecord>> {
        let (steady, wall) = (self.store.steady_ms(), self.store.now_ms());
        // The first of exponentially distributed times, divided by weights, is each one's with its weight's chance.
        let shares = [(); 3].map(|()| 1.0 + (1.0 - rand::random::<f64>()).ln());
        let query = self.sql.claim.query().bind(channel).bind(steady).bind(wall).bind(steady.max(wall));
        let query = query.bind(free as i64).bind(self.identity.load(Ordering::Relaxed));
        let query = query.bind(shares[0]).bind(shares[1]).bind(shares[2]).bind(most_bulk as i64);
        self.records(tx, query).await
    }
}
