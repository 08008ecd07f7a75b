//! Start: what a crash interrupted is decided, and the counts begin with what the store holds.

use super::{
    Fact, JobId, Outcome, Priority, State, Status,
    book::{Book, Kind},
    config::QueueConfig,
    lanes::Lanes,
    pending::{Batches, Pending},
    retry::{self, Decision},
    schema::code,
    sql::{attempt, batch, sweep},
};
use crate::platform::{
    store::{Operation, Purpose, Store, StoreError, Tx, WriteError},
    time::now_ms,
};
use std::time::Duration;

/// What the store held at start.
pub(super) struct Found {
    pub(super) highest: i64,
    /// Jobs that a crash had interrupted in an attempt.
    pub(super) recovered: u64,
    /// Those of them that ended with it.
    pub(super) ended: Vec<Fact>,
    live: Vec<sweep::Live>,
    pending: Vec<Pending>,
    attempted: Vec<(Priority, i64, JobId)>,
    now: i64,
    next_due: Option<i64>,
}

/// Decides on interrupted jobs by `ON_UNKNOWN`, in one transaction, and reads the counts.
pub(super) async fn recover(
    store: &Store,
    config: &QueueConfig,
    channels: &'static [&'static str],
) -> Result<Found, WriteError> {
    let policy = config.retry.clone();
    let now = now_ms();
    let purpose = Purpose { operation: Operation::Other, rows: 1, trace: None };
    let found = store
        .write_at_leisure(purpose, move |tx| {
            let interrupted = attempt::interrupted(tx, channels)?;
            let mut ended = Vec::new();
            for job in &interrupted {
                let status = decide(tx, job, &policy, now)?;
                if attempt::finished_as(status).is_some() {
                    let (channel, priority) = (job.channel, job.priority);
                    ended.push(Fact::Finished { channel, priority, status, end_to_end: None });
                }
            }
            Ok(Found {
                highest: sweep::highest(tx)?,
                recovered: interrupted.len() as u64,
                ended,
                live: sweep::live(tx, now)?,
                pending: batch::pending(tx, now)?,
                attempted: sweep::attempted(tx)?,
                now,
                next_due: sweep::next_due(tx, now)?,
            })
        })
        .await?
        .value;
    check(store, &found);
    Ok(found)
}

/// The attempt may or may not have reached the gateway: its outcome is unknown, and it is spent.
fn decide(
    tx: &mut Tx<'_>,
    job: &attempt::Interrupted,
    policy: &retry::RetryConfig,
    now: i64,
) -> Result<Status, StoreError> {
    const INTERRUPTED: Outcome = Outcome::Unknown { reason: "interrupted" };
    let decision = if job.sync {
        retry::decide_now(&INTERRUPTED)
    } else {
        let decision = retry::decide(policy, job.spent, &INTERRUPTED);
        // What was interrupted has waited long enough.
        Decision { delay: Duration::ZERO, ..decision }
    };
    let status = decision.status;
    let ended = attempt::Ended {
        id: job.id,
        began: now,
        spent: job.spent,
        at: now,
        decision,
        provider: "none",
        ms: 0,
        trace: job.last_attempt,
    };
    attempt::complete(tx, &ended)?;
    Ok(status)
}

/// The ledger and the jobs are written in the same transactions: if they differ, something else wrote.
fn check(store: &Store, found: &Found) {
    let live: usize = found.live.iter().map(|live| live.jobs).sum();
    let unexpanded: usize = found.pending.iter().map(|pending| pending.jobs).sum();
    let jobs = (live + unexpanded) as i64;
    let ledger = store.ledger();
    let queued = ledger.get(crate::platform::store::LedgerState::Queued);
    if jobs != queued || ledger.imbalance() != 0 {
        let imbalance = ledger.imbalance();
        tracing::error!(jobs, queued, imbalance, "the ledger does not agree with the jobs in the store");
    }
    if found.recovered > 0 {
        tracing::warn!(jobs = found.recovered, "recovered jobs that a crash had interrupted in an attempt");
    }
}

impl Found {
    /// The state to begin with: everything due is still in the store.
    pub(super) fn state(&self, mut book: Book) -> State {
        let mut batches = Batches::default();
        count(&mut book, &mut batches, (&self.live, &self.pending));
        for (priority, first_due, id) in &self.attempted {
            book.restore_attempted(*priority, *first_due, *id);
        }
        let mut lanes = Lanes::default();
        Priority::ALL.into_iter().for_each(|of| lanes.spilled(of));
        let next_due = [self.next_due, batches.next_due(self.now)].into_iter().flatten().min();
        State { lanes, book, batches, due_until: self.now, next_due, doubtful: false }
    }
}

/// Tells the book what the store holds: jobs, and batches that are to become jobs.
pub(super) fn count(book: &mut Book, batches: &mut Batches, (live, pending): (&[sweep::Live], &[Pending])) {
    for pending in pending {
        book.add(if pending.scheduled { Kind::Scheduled } else { Kind::Due }, pending.jobs, false);
        batches.add(*pending);
    }
    for live in live {
        let kind = if live.status == code::SCHEDULED && live.waits { Kind::Scheduled } else { Kind::Due };
        book.add(kind, live.jobs, live.status == code::RETRYING && live.waits);
        if live.status == code::SENDING {
            book.add_running(live.jobs);
        }
    }
}
