//! The dispatcher: one transaction after another ends attempts and starts due jobs for the workers that are free.

use crate::{
    Fact, Health, JobRecord, JobState, Priority, Queue, StoreError, Tx, Worker,
    attempt::Ended,
    metrics::{Ledger, Operation},
    queue::{Core, LINKS, commit_span},
};
use chassis_telemetry::{SpanExt as _, names};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc,
    task::yield_now,
    time::{sleep, sleep_until, timeout},
};
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
    free: usize,
    /// Bulk jobs that run: never on all workers, so that an urgent job need not wait for one.
    bulk: usize,
    /// There may be due jobs.
    look: bool,
    /// Bulk jobs may wait for another to end.
    more_bulk: bool,
}

struct Dispatcher<W: Worker> {
    queue: Queue<W>,
    lanes: Vec<Lane>,
    /// Ended, not committed.
    ended: Vec<Ended>,
    ends: mpsc::Sender<Ended>,
    next_look: Instant,
}

impl<W: Worker> Queue<W> {
    /// Runs until the queue is stopped and the attempts in hand are committed.
    pub(crate) async fn dispatch(&self) {
        let core = &self.core;
        let lane = |channel: &&'static str| Lane {
            channel,
            free: core.config.workers,
            bulk: 0,
            look: true,
            more_bulk: false,
        };
        let (ends, mut ended) = mpsc::channel(core.config.workers * core.channels.len().max(1));
        let lanes: Vec<Lane> = core.channels.iter().map(lane).collect();
        let mut dispatcher =
            Dispatcher { queue: self.clone(), lanes, ended: Vec::new(), ends, next_look: Instant::now() };
        loop {
            let stopping = core.stop.is_cancelled();
            if stopping && dispatcher.is_idle() {
                return;
            }
            tokio::select! {
                _ = ended.recv_many(&mut dispatcher.ended, 1024) => {}
                () = core.store.wake().notified() => dispatcher.look(),
                () = sleep_until(dispatcher.next_look.into()), if !stopping => dispatcher.look(),
                () = core.stop.cancelled(), if !stopping => {}
            }
            // Attempts that end at once share the next transaction.
            yield_now().await;
            loop {
                while let Ok(more) = ended.try_recv() {
                    dispatcher.ended.push(more);
                }
                if !dispatcher.has_work() {
                    break;
                }
                if !dispatcher.turn().await {
                    sleep(AGAIN).await;
                    let _ = core.store.health().wait_for(|health| *health == Health::Up).await;
                }
            }
        }
    }
}

impl Lane {
    /// Free workers, and running bulk jobs, once these attempts have ended.
    fn after(&self, ended: &[Ended]) -> (usize, usize) {
        let mine = || ended.iter().filter(|ended| ended.job.channel == self.channel);
        let bulk = mine().filter(|ended| ended.job.priority == Priority::Bulk).count();
        (self.free + mine().count(), self.bulk.saturating_sub(bulk))
    }
}

impl<W: Worker> Dispatcher<W> {
    fn look(&mut self) {
        self.next_look = Instant::now() + POLL.mul_f64(rand::random_range(0.75..1.25));
        self.lanes.iter_mut().for_each(|lane| lane.look = true);
    }

    fn is_idle(&self) -> bool {
        self.ended.is_empty() && self.lanes.iter().all(|lane| lane.free == self.queue.core.config.workers)
    }

    fn takes(&self) -> bool {
        let core = &self.queue.core;
        let asks = |lane: &Lane| lane.look && lane.free > 0 && !core.worker.paused(lane.channel);
        !core.stop.is_cancelled() && self.lanes.iter().any(asks)
    }

    fn has_work(&self) -> bool {
        !self.ended.is_empty() || self.takes()
    }

    /// One transaction. `false` if it failed: what has ended is kept.
    async fn turn(&mut self) -> bool {
        let core = Arc::clone(&self.queue.core);
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
                self.start(started);
                true
            }
            Err(error) => {
                self.look();
                span.record(names::OTEL_STATUS_CODE, "ERROR");
                span.in_scope(|| tracing::warn!(%error, ended = self.ended.len(), "attempts could not be committed; trying again"));
                if matches!(error, StoreError::CommitUnknown(_)) {
                    core.doubt.store(true, Ordering::Relaxed);
                    self.ended.iter_mut().for_each(|ended| ended.doubtful = true);
                }
                false
            }
        }
    }

    fn span(&self) -> Span {
        let contexts = self.ended.iter().filter_map(|ended| ended.span.trace_context());
        commit_span(&self.queue.core.store, None, contexts)
    }

    /// Ends attempts, and starts as many jobs as there are free workers. Gives those that started.
    async fn commit(&mut self, span: &mut Span) -> Result<Vec<JobRecord>, StoreError> {
        let core = Arc::clone(&self.queue.core);
        let begun = Instant::now();
        let ended = &self.ended;
        let (mut tx, _counting) = core.begin().await?;
        let found = core.complete(&mut tx, ended).await?;
        let (mut started, mut interrupted) = (Vec::new(), Vec::new());
        if core.doubt.load(Ordering::Relaxed) {
            (started, interrupted) = core.unaccounted(&mut tx).await?;
        }
        let mut expired = Ledger::default();
        for lane in self.lanes.iter_mut().filter(|_| !core.stop.is_cancelled()) {
            let (free, bulk) = lane.after(ended);
            let asks = lane.look || lane.more_bulk && bulk < lane.bulk;
            if free > 0 && asks && !core.worker.paused(lane.channel) {
                let most_bulk = core.config.workers.saturating_sub(1).max(1).saturating_sub(bulk).min(free);
                let claimed = core.claim(&mut tx, lane.channel, free, most_bulk).await?;
                lane.look = claimed.len() == free;
                let bulk = claimed.iter().filter(|job| job.priority == Priority::Bulk).count();
                lane.more_bulk = bulk == most_bulk;
                expired.expired += claimed.iter().filter(|job| job.state == JobState::Expired).count() as i64;
                started.extend(claimed);
            }
        }
        if span.is_none() && !(started.is_empty() && interrupted.is_empty()) {
            *span = self.span();
        }
        core.write_ledger(&mut tx, &expired).await?;
        tx.commit().instrument(span.clone()).await?;
        core.doubt.store(false, Ordering::Relaxed);
        let took = begun.elapsed();
        span.in_scope(|| {
            core.metrics.committed(Operation::Complete, found.len(), took);
            core.metrics.committed(Operation::Begin, started.len(), took);
        });
        let ended = std::mem::take(&mut self.ended);
        self.next_look = Instant::now() + POLL.mul_f64(rand::random_range(0.75..1.25));
        let again =
            ended.iter().filter(|ended| !ended.decision.state.is_final()).map(|ended| ended.decision.delay);
        if let Some(delay) = again.min() {
            self.next_look = self.next_look.min(Instant::now() + delay);
        }
        for lane in &mut self.lanes {
            (lane.free, lane.bulk) = lane.after(&ended);
        }
        core.completed(ended, &found);
        let found = interrupted.iter().map(|ended| ended.job.id.0).collect();
        core.completed(interrupted, &found);
        Ok(started)
    }

    /// Hands jobs to workers.
    fn start(&mut self, started: Vec<JobRecord>) {
        for job in started {
            let core = Arc::clone(&self.queue.core);
            if job.state == JobState::Expired {
                let (channel, priority, state) = (job.channel, job.priority, job.state);
                core.worker.observe(&Fact::Finished { channel, priority, state, end_to_end: None });
                core.backlog.finished(1);
                continue;
            }
            core.in_hand.lock().insert(job.id.0);
            if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.channel == job.channel) {
                lane.free = lane.free.saturating_sub(1);
                lane.bulk += usize::from(job.priority == Priority::Bulk);
            }
            let ends = self.ends.clone();
            #[expect(clippy::disallowed_methods, reason = "each attempt has a span of its own")]
            tokio::spawn(async move {
                let ended = job.attempt(&core).await;
                // The dispatcher waits for every attempt: it takes this one.
                let _ = ends.send(ended).await;
            });
        }
    }
}

impl<W: Worker> Core<W> {
    async fn claim(
        &self,
        tx: &mut Tx,
        channel: &'static str,
        free: usize,
        most_bulk: usize,
    ) -> Result<Vec<JobRecord>, StoreError> {
        let (steady, wall) = (self.store.steady_ms(), self.store.now_ms());
        // The first of exponentially distributed times, divided by weights, is each one's with its weight's chance.
        let shares = [(); 3].map(|()| 1.0 + (1.0 - rand::random::<f64>()).ln());
        let query = self.sql.claim.query().bind(channel).bind(steady).bind(wall).bind(steady.max(wall));
        let query = query.bind(free as i64).bind(self.identity.load(Ordering::Relaxed));
        let query = query.bind(shares[0]).bind(shares[1]).bind(shares[2]).bind(most_bulk as i64);
        let rows = query.fetch_all(&mut **tx).await?;
        rows.iter().map(|row| JobRecord::read(row, self.channels)).collect()
    }
}
