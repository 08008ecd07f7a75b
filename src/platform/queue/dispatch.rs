//! The dispatcher: takes due jobs by weight whenever a worker is free, commits that their attempts
//! begin, and hands them over. It also notices what becomes due.

use super::{
    Fact, JobId, Priority, Queue, State, Status,
    lanes::Ready,
    pending::Pending,
    places::Place,
    recover,
    sql::{attempt, batch, sweep},
    worker,
};
use crate::platform::{
    store::{Operation, Purpose, StoreError, Tx, WriteError},
    time::now_ms,
};
use std::time::Duration;

/// Attempts begun in one write at most.
const BATCH: usize = 256;
/// Looks for due jobs are at least this far apart, so that many single due times cost little.
const PAUSE_MS: i64 = 50;
/// Without any sign of work the store is looked through this often, should the clock have been set.
const SWEEP: Duration = Duration::from_secs(60);

/// A job in hand, with the worker's place that it takes.
type Taken = (Ready, Place);

impl State {
    /// What is in memory may differ from the store.
    pub(super) fn doubt(&mut self) {
        self.doubtful = true;
        Priority::ALL.into_iter().for_each(|of| self.lanes.spilled(of));
    }
}

/// Runs until the queue is stopped.
pub(super) async fn run(queue: Queue) {
    let mut verdict = queue.inner.store.verdict();
    let mut looked = 0;
    loop {
        if queue.inner.stop.is_cancelled() {
            return;
        }
        // A store that can't commit would refuse every begin: the jobs wait where they are.
        let works = verdict.borrow_and_update().is_ok();
        if works {
            look(&queue, &mut looked).await;
            refill(&queue);
            take(&queue);
        }
        let wait = pause(&queue, looked);
        tokio::select! {
            () = queue.inner.wake.notified() => {}
            () = tokio::time::sleep(wait) => {}
            changed = verdict.changed() => if changed.is_err() { return },
            () = queue.inner.stop.cancelled() => return,
        }
    }
}

fn pause(queue: &Queue, looked: i64) -> Duration {
    let Some(due) = queue.inner.state.lock().next_due else { return SWEEP };
    let at = due.max(looked + PAUSE_MS);
    Duration::from_millis((at - now_ms()).max(1) as u64).min(SWEEP)
}

/// What a look into the store found.
struct Looked {
    /// By priority.
    due: [sweep::Due; 3],
    /// Unix ms.
    next: Option<i64>,
    /// All unfinished jobs, expanded or not, where the counts are in doubt.
    live: Option<(Vec<sweep::Live>, Vec<Pending>)>,
}

/// Counts what has become due, if anything may have, and learns when to look again.
async fn look(queue: &Queue, looked: &mut i64) {
    let now = now_ms();
    let (since, next, doubtful) = {
        let state = queue.inner.state.lock();
        (state.due_until, state.next_due, state.doubtful)
    };
    let sweep = now - *looked >= SWEEP.as_millis() as i64;
    if !doubtful && !sweep && (next.is_none_or(|due| due > now) || now - *looked < PAUSE_MS) {
        return;
    }
    *looked = now;
    let now = now.max(since);
    let apply = move |tx: &mut Tx<'_>| {
        let mut due = [sweep::Due::default(); 3];
        for (of, due) in Priority::ALL.into_iter().zip(&mut due) {
            *due = sweep::become_due(tx, of, since, now)?;
        }
        let live = if doubtful { Some((sweep::live(tx, now)?, batch::pending(tx, now)?)) } else { None };
        Ok(Looked { due, next: sweep::next_due(tx, now)?, live })
    };
    let kept = queue.clone();
    // The counts change where the commits' order is known.
    let then = move |found: Result<&Looked, &WriteError>| {
        if let Ok(found) = found {
            kept.inner.state.lock().looked(found, now, sweep);
            kept.inner.unexpanded.notify_one();
        }
    };
    let purpose = Purpose { operation: Operation::Other, rows: 0, trace: None };
    if let Err(error) = queue.inner.store.write_then(purpose, apply, then).await {
        tracing::warn!(%error, "could not look for due jobs; trying again");
    }
}

impl State {
    /// Takes over what a look until `now` (Unix ms) has found.
    fn looked(&mut self, found: &Looked, now: i64, sweep: bool) {
        self.became_due(&found.due, sweep);
        if let Some((live, pending)) = &found.live {
            self.doubtful = false;
            self.book.recount();
            self.batches.clear();
            recover::count(&mut self.book, &mut self.batches, (live, pending));
        }
        self.due_until = now;
        self.book.scheduled_due(self.batches.become_due(now));
        self.next_due = [found.next, self.batches.next_due(now)].into_iter().flatten().min();
    }

    fn became_due(&mut self, due: &[sweep::Due; 3], sweep: bool) {
        for (of, due) in Priority::ALL.into_iter().zip(due) {
            self.book.scheduled_due(due.scheduled as usize);
            self.book.waiting_due(due.retrying as usize);
            if sweep || due.scheduled + due.retrying > 0 {
                self.lanes.spilled(of);
            }
        }
    }
}

/// Reads jobs from the store for lanes that run low, beside everything else.
fn refill(queue: &Queue) {
    loop {
        let mut state = queue.inner.state.lock();
        let until = (state.due_until.max(now_ms()), state.due_until);
        let Some((of, limit)) = state.lanes.begin_refill() else { return };
        drop(state);
        let queue = queue.clone();
        let tasks = queue.inner.tasks.clone();
        tasks.spawn(async move {
            let channels = queue.inner.channels;
            let read = move |tx: &mut Tx<'_>| sweep::due(tx, of, until, limit, channels);
            match queue.inner.store.read("read due jobs", read).await {
                Ok(jobs) => {
                    let all = jobs.len() < limit;
                    queue.inner.state.lock().lanes.refill(of, jobs, all);
                }
                Err(error) => {
                    tracing::warn!(%error, "could not read due jobs; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    queue.inner.state.lock().lanes.refill_failed(of);
                }
            }
            queue.inner.wake.notify_one();
        });
    }
}

/// Takes as many jobs as workers are free and lets their attempts begin.
fn take(queue: &Queue) {
    loop {
        let mut taken: Vec<Taken> = Vec::new();
        let mut state = queue.inner.state.lock();
        while taken.len() < BATCH && !state.lanes.is_empty() {
            let waits = state.lanes.head(Priority::Bulk).is_some();
            let Some(place) = queue.inner.places.take(waits) else { break };
            match state.lanes.pop(place.is_for_bulk()) {
                Some(job) if job.priority == Priority::Bulk => taken.push((job, place)),
                Some(job) => taken.push((job, place.without_bulk())),
                None => break,
            }
        }
        drop(state);
        if taken.is_empty() {
            return;
        }
        let queue = queue.clone();
        let tasks = queue.inner.tasks.clone();
        tasks.spawn(async move { begin(queue, taken).await });
    }
}

/// What became of a job whose attempt was to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    Yes,
    Expired,
    /// Cancelled meanwhile, or not due again yet.
    No,
}

/// Commits that attempts begin, before any of them does.
async fn begin(queue: Queue, taken: Vec<Taken>) {
    let now = now_ms();
    let jobs: Vec<(JobId, u32, bool)> =
        taken.iter().map(|(job, _)| (job.id, job.spent + 1, now > job.not_after)).collect();
    let apply = move |tx: &mut Tx<'_>| {
        let one = |&(id, attempt, late): &(JobId, u32, bool)| -> Result<Begun, StoreError> {
            Ok(match late {
                true if attempt::expire(tx, id, now)? => Begun::Expired,
                false if attempt::begin(tx, id, attempt, now)? => Begun::Yes,
                _ => Begun::No,
            })
        };
        jobs.iter().map(one).collect::<Result<Vec<Begun>, StoreError>>()
    };
    let (kept, known) = (queue.clone(), taken.iter().map(|(job, _)| job.clone()).collect::<Vec<_>>());
    let then = move |begun: Result<&Vec<Begun>, &WriteError>| {
        if let Ok(begun) = begun {
            kept.inner.begun(&known, begun);
        }
    };
    let purpose = Purpose {
        operation: Operation::Begin,
        rows: taken.len(),
        trace: taken.first().map(|(job, _)| job.trace),
    };
    match queue.inner.store.write_then(purpose, apply, then).await {
        Ok(done) => {
            for ((job, permit), begun) in taken.into_iter().zip(done.value) {
                if begun == Begun::Yes {
                    queue.inner.tasks.spawn(worker::deliver(queue.clone(), job, permit));
                }
            }
            queue.inner.wake.notify_one();
        }
        Err(error) => {
            tracing::warn!(%error, jobs = taken.len(), "attempts could not begin; trying again");
            put_back(&queue, taken);
            // Woken when the store works again; a statement's own fault must not spin.
            tokio::time::sleep(Duration::from_millis(200)).await;
            queue.inner.wake.notify_one();
        }
    }
}

fn put_back(queue: &Queue, taken: Vec<Taken>) {
    let mut state = queue.inner.state.lock();
    taken.into_iter().rev().for_each(|(job, _permit)| state.lanes.put_back(job));
}

impl super::Inner {
    fn begun(&self, jobs: &[Ready], begun: &[Begun]) {
        let mut state = self.state.lock();
        for (job, begun) in jobs.iter().zip(begun) {
            match begun {
                Begun::Yes => state.book.begun(job.priority, job.first_due, job.id),
                Begun::Expired => {
                    state.book.finished(job.priority, job.first_due, job.id);
                    state.lanes.release(job.id);
                }
                Begun::No => state.lanes.release(job.id),
            }
        }
        drop(state);
        for (job, _) in jobs.iter().zip(begun).filter(|(_, begun)| **begun == Begun::Expired) {
            let (channel, priority) = (job.channel, job.priority);
            self.handler.observe(&Fact::Finished {
                channel,
                priority,
                status: Status::Expired,
                end_to_end: None,
            });
        }
    }
}
