//! The dispatcher: one transaction after another ends attempts and starts due jobs for the workers that are free.

use crate::attempt::{Ended, rows};
use crate::queue::{Core, InHand, LINKS, commit_span, link_commit};
use crate::{JobRecord, Priority, Result, StoreError, Worker, metrics};
use chassis_telemetry::{SpanExt as _, names};
use futures_util::future::join;
use sqlx::Row as _;
use std::collections::HashSet;
use std::mem::{replace, take};
use std::sync::{Arc, atomic::Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until};
use tracing::{Instrument as _, Span};

/// Between two looks for due jobs if nothing wakes the dispatcher; with jitter, for replicas. Also after a transaction that
/// failed.
const POLL: Duration = Duration::from_millis(250);

/// The workers of one channel.
struct Lane {
    channel: &'static str,
    /// There may be due jobs.
    look: bool,
    /// There are some, as far as is known. A look that expects none has no span.
    expects: bool,
    /// Bulk jobs may wait for another to end.
    more_bulk: bool,
}

struct Dispatcher<W: Worker> {
    core: Arc<Core<W>>,
    lanes: Vec<Lane>,
    /// They start beside the next transaction: the database does not wait for that.
    claimed: Vec<JobRecord>,
    /// Ended, not committed.
    ended: Vec<Ended>,
    /// Tells of those that the last transaction ended.
    telling: JoinHandle<()>,
    next_look: Instant,
}

impl<W: Worker> Core<W> {
    /// Runs until the queue is stopped and the attempts in hand are committed.
    pub(crate) async fn dispatch(self: &Arc<Self>) {
        let mut ended = self.ended.lock().await;
        let lane = |channel: &&'static str| Lane { channel, look: true, expects: false, more_bulk: false };
        let lanes = self.setup.channels.iter().map(lane).collect();
        let (core, telling, next_look) = (Arc::clone(self), self.completed(Vec::new()), Instant::now());
        let mut dispatcher =
            Dispatcher { core, lanes, claimed: Vec::new(), ended: Vec::new(), telling, next_look };
        loop {
            while let Ok(more) = ended.try_recv() {
                dispatcher.take(more);
            }
            dispatcher.look();
            let stopping = self.stop.is_cancelled();
            if !dispatcher.ended.is_empty() || dispatcher.has_room(|_| true) {
                if !dispatcher.turn().await {
                    sleep(POLL).await;
                    let _ = self.store.outages().wait_for(Option::is_none).await;
                }
                continue;
            }
            dispatcher.start_claimed();
            if stopping && self.in_hand.lock().is_empty() {
                let _ = dispatcher.telling.await;
                return;
            }
            tokio::select! {
                Some(one) = ended.recv() => dispatcher.take(one),
                () = self.wake.notified() => {}
                () = sleep_until(dispatcher.next_look.into()), if !stopping => {}
                () = self.stop.cancelled(), if !stopping => {}
            }
        }
    }
}

impl<W: Worker> Dispatcher<W> {
    /// Looks for due jobs of the channels that it was woken for, and now and then of all.
    fn look(&mut self) {
        let (now, woken) = (Instant::now(), take(&mut *self.core.due.lock()));
        let all = now >= self.next_look;
        if all {
            self.next_look = now + POLL.mul_f64(rand::random_range(0.75..1.25));
        }
        self.lanes.iter_mut().for_each(|lane| lane.expects |= woken.contains(lane.channel));
        self.lanes.iter_mut().for_each(|lane| lane.look |= all || lane.expects);
    }

    /// Takes an attempt that has ended, and gives its worker back.
    fn take(&mut self, ended: Ended) {
        let (id, worker, mut in_hand) = (ended.job.id.0, ended.job.worker, self.core.in_hand.lock());
        // Under a new identity the same job may run again already.
        if in_hand.get(&id).is_some_and(|hand| [0, worker].contains(&hand.worker)) {
            in_hand.remove(&id);
        }
        self.ended.push(ended);
    }

    /// Whether jobs of one of these lanes may start.
    fn has_room(&self, of: impl Fn(&Lane) -> bool) -> bool {
        self.lanes.iter().any(|lane| of(lane) && self.room(lane).0 > 0)
    }

    /// One transaction. `false` if it failed: what has ended is kept.
    async fn turn(&mut self) -> bool {
        let expected = !self.ended.is_empty() || self.has_room(|lane| lane.expects);
        let mut span = if expected { commit_span(&self.core.store, None) } else { Span::none() };
        let (begun, around) = (Instant::now(), span.clone());
        match self.commit().instrument(around).await {
            Ok((ended, started)) => {
                if span.is_none() && !started.is_empty() {
                    span = commit_span(&self.core.store, None);
                }
                started.iter().take(LINKS.saturating_sub(ended)).for_each(|job| span.link_to(job.trace));
                span.record("db.operation.batch.size", (ended + started.len()) as i64);
                span.in_scope(|| {
                    metrics::committed(&self.core.store, "complete", ended, begun.elapsed());
                    metrics::committed(&self.core.store, "begin", started.len(), begun.elapsed());
                });
                let hand = |&JobRecord { id, channel, priority, worker, sync, .. }: &_| {
                    (id.0, InHand { channel, priority, worker, sync })
                };
                self.core.in_hand.lock().extend(started.iter().map(hand));
                self.claimed = started;
                true
            }
            Err(error) => {
                let ended = self.ended.len();
                self.next_look = Instant::now();
                // Also where it was set before, and this transaction was to resolve it.
                self.core.doubt.store(true, Ordering::Relaxed);
                span.record(names::OTEL_STATUS_CODE, "ERROR");
                let told = || tracing::warn!(%error, ended, "attempts could not be committed; trying again");
                span.in_scope(told);
                let doubtful = matches!(error, StoreError::CommitUnknown(_));
                self.ended.iter_mut().for_each(|ended| ended.doubtful |= doubtful);
                false
            }
        }
    }

    /// Ends attempts, and starts as many jobs as there are free workers, in one call. Gives how many ended, and those
    /// that started.
    async fn commit(&mut self) -> Result<(usize, Vec<JobRecord>)> {
        let core = Arc::clone(&self.core);
        let mut started =
            if core.doubt.swap(false, Ordering::Relaxed) { self.resolve().await? } else { Vec::new() };
        let answers = self.ended.iter().filter(|ended| ended.answer.is_some()).count();
        let (steady, wall) = (core.store.steady_ms(), core.store.now_ms());
        let query = core.ending(&core.sql.turn, &self.ended);
        let query = query.bind(steady).bind(wall).bind(steady.max(wall));
        let mut query = query.bind(core.identity.load(Ordering::Relaxed)).bind(answers as i64);
        let room: Vec<_> = self.lanes.iter().map(|lane| self.room(lane)).collect();
        for (lane, &(free, most_bulk)) in self.lanes.iter().zip(&room) {
            query = query.bind(lane.channel).bind(free as i64).bind(most_bulk as i64);
            // The first of exponentially distributed times, divided by weights, is each one's with its weight's chance.
            for _ in Priority::ALL {
                query = query.bind(1.0 + (1.0 - rand::random::<f64>()).ln());
            }
        }
        // Until the backlog knows.
        let _counting = core.counting.read().await;
        let beside = async {
            self.start_claimed();
            link_commit(self.ended.iter().filter_map(|ended| ended.span.trace_context()));
        };
        let (called, ()) = join(core.store.one_call(query), beside).await;
        let claimed = core.read(&called?)?;
        for (lane, &(free, most_bulk)) in self.lanes.iter_mut().zip(&room).filter(|(_, room)| room.0 > 0) {
            let mine = || claimed.iter().filter(|job| job.channel == lane.channel);
            lane.look = mine().count() == free;
            lane.more_bulk = mine().filter(|job| job.priority == Priority::Bulk).count() == most_bulk;
            lane.expects = lane.look;
        }
        started.extend(claimed);
        let room = Vec::with_capacity(self.ended.len());
        let ended = replace(&mut self.ended, room);
        let again = ended.iter().filter(|ended| !ended.decision.state.is_final());
        if let Some(delay) = again.map(|ended| ended.decision.delay).min() {
            self.next_look = self.next_look.min(Instant::now() + delay);
        }
        let count = ended.len();
        let _ = replace(&mut self.telling, core.completed(ended)).await;
        Ok((count, started))
    }

    /// After an uncertain commit: drops what is stored already of what has ended, and gives the jobs that run under our
    /// identity and that nobody here runs. Their attempts have not begun.
    async fn resolve(&mut self) -> Result<Vec<JobRecord>> {
        self.start_claimed();
        let core = Arc::clone(&self.core);
        let mut reader = core.store.reader().await?;
        let query = core.sql.running.query().bind(rows(&self.ended));
        let running = core.store.bounded(query.fetch_all(&mut *reader)).await?;
        let running: HashSet<i64> = running.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let own = core.jobs("WHERE state = 5 AND worker = $1").bind(core.identity.load(Ordering::Relaxed));
        let mut own = core.read(&core.store.bounded(own.fetch_all(&mut *reader)).await?)?;
        let runs = |ended: &Ended| running.contains(&ended.job.id.0);
        let (ended, others) = take(&mut self.ended).into_iter().partition(runs);
        self.ended = ended;
        let (stored, lost): (Vec<_>, Vec<_>) = others.into_iter().partition(|ended: &Ended| ended.doubtful);
        let _ = core.completed(stored).await;
        for ended in lost {
            let _entered = ended.span.enter();
            tracing::warn!(job_id = %ended.job.id, "an attempt's outcome came after its lease had ended, and was dropped");
        }
        let in_hand = core.in_hand.lock();
        own.retain(|job| !running.contains(&job.id.0) && !in_hand.contains_key(&job.id.0));
        Ok(own)
    }

    /// How many jobs of a channel may start, and how many of them may be bulk. Bulk leaves a quarter of the workers alone:
    /// its jobs begin and end together, and an urgent one would wait for them.
    fn room(&self, lane: &Lane) -> (usize, usize) {
        let (core, is_bulk) = (&self.core, |priority| priority == Priority::Bulk);
        let bulk_ended = |ended: &Ended| ended.job.channel == lane.channel && is_bulk(ended.job.priority);
        let looks = lane.look || lane.more_bulk && self.ended.iter().any(bulk_ended);
        if core.stop.is_cancelled() || !looks || core.setup.worker.paused(lane.channel) {
            return (0, 0);
        }
        let (workers, in_hand) = (core.setup.config.workers, core.in_hand.lock());
        let busy = || in_hand.values().filter(|job| job.channel == lane.channel && !job.sync);
        let (free, bulk) =
            (workers.saturating_sub(busy().count()), busy().filter(|job| is_bulk(job.priority)).count());
        (free, (workers - workers.div_ceil(4)).max(1).saturating_sub(bulk).min(free))
    }

    /// Hands the claimed jobs to workers.
    fn start_claimed(&mut self) {
        for job in take(&mut self.claimed) {
            let core = Arc::clone(&self.core);
            #[expect(clippy::disallowed_methods, reason = "each attempt has a span of its own")]
            tokio::spawn(async move {
                let ended = job.attempt(&core).await;
                // The dispatcher waits for every attempt: it takes this one.
                let _ = core.ends.send(ended).await;
            });
        }
    }
}
