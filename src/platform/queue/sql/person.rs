//! What a person (or a caller) decides: cancel, replay, resolve.

use super::{
    super::{
        Fact, JobId, Priority, Status, Verdict,
        schema::{code, decode, encode},
    },
    attempt::{finished_as, record},
    priority,
    read::channel,
    unknown,
};
use crate::platform::store::{LedgerState, StoreError, Tx};

/// A job that was cancelled, with what the counts need to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cancelled {
    pub was_scheduled: bool,
    pub was_retrying: bool,
    /// Unix ms when it would have been due.
    pub due: i64,
}

/// How many jobs the notification of this id has; `None` if there is no such notification.
pub(crate) fn parts(tx: &mut Tx<'_>, id: JobId) -> Result<Option<i64>, StoreError> {
    tx.first("SELECT parts FROM job WHERE id = $1 AND part = 0", &[id.0.into()], |row| row.int(0))
}

/// Cancels the notification's jobs that have not begun or wait for a retry.
pub(crate) fn cancel(tx: &mut Tx<'_>, id: JobId, parts: i64, now: i64) -> Result<Vec<Cancelled>, StoreError> {
    const FIND: &str = "SELECT id, status, at FROM job WHERE id >= $1 AND id < $2 AND status IN (2, 3, 4)";
    const CANCEL: &str = "UPDATE job SET status = 9, at = $1 WHERE id = $2";
    let found = tx.query(FIND, &[id.0.into(), (id.0 + parts).into()], |row| {
        let status = row.int(1)?;
        let cancelled = Cancelled {
            was_scheduled: status == code::SCHEDULED,
            was_retrying: status == code::RETRYING,
            due: row.int(2)?,
        };
        Ok((row.int(0)?, cancelled))
    })?;
    for (job, _) in &found {
        tx.execute(CANCEL, &[now.into(), (*job).into()])?;
        tx.ledger().moved(LedgerState::Queued, LedgerState::Cancelled);
    }
    Ok(found.into_iter().map(|(_, cancelled)| cancelled).collect())
}

fn status(tx: &mut Tx<'_>, id: JobId) -> Result<Option<Status>, StoreError> {
    tx.first("SELECT status FROM job WHERE id = $1", &[id.0.into()], |row| {
        decode(row.int(0)?).ok_or_else(|| unknown("status"))
    })
}

/// Queues a dead or unknown job again: due now, all its attempts before it, with a new deadline as long as the old.
pub(crate) fn replay(
    tx: &mut Tx<'_>,
    id: JobId,
    now: i64,
) -> Result<Option<Result<Priority, Status>>, StoreError> {
    // A deadline that has passed is moved: a person has decided that it shall be sent.
    const SQL: &str = "UPDATE job SET status = 2, sync = 0, attempts = 0, not_after = max(not_after, $1 + not_after - first_due), \
         first_due = $1, at = $1, reason = NULL WHERE id = $2";
    let Some(found) = status(tx, id)? else { return Ok(None) };
    let from = match found {
        Status::Dead => LedgerState::Dead,
        Status::Unknown => LedgerState::Unknown,
        other => return Ok(Some(Err(other))),
    };
    tx.execute(SQL, &[now.into(), id.0.into()])?;
    tx.ledger().moved(from, LedgerState::Queued);
    record(tx, id, now, "replayed", "operator", 0)?;
    tx.first("SELECT priority FROM job WHERE id = $1", &[id.0.into()], |row| priority(row.int(0)?))
        .map(|found| found.map(Ok))
}

/// Records a person's verdict on an `unknown` job.
pub(crate) fn resolve(
    tx: &mut Tx<'_>,
    id: JobId,
    verdict: Verdict,
    now: i64,
    channels: &[&'static str],
) -> Result<Option<Result<Fact, Status>>, StoreError> {
    let Some(found) = status(tx, id)? else { return Ok(None) };
    if found != Status::Unknown {
        return Ok(Some(Err(found)));
    }
    let to = match verdict {
        Verdict::Delivered => Status::Delivered,
        Verdict::Dead => Status::Dead,
    };
    tx.execute(
        "UPDATE job SET status = $1, at = $2 WHERE id = $3",
        &[encode(to).into(), now.into(), id.0.into()],
    )?;
    if let Some(state) = finished_as(to) {
        tx.ledger().moved(LedgerState::Unknown, state);
    }
    let outcome = if verdict == Verdict::Delivered { "resolved_delivered" } else { "resolved_dead" };
    record(tx, id, now, outcome, "operator", 0)?;
    tx.first("SELECT channel, priority FROM job WHERE id = $1", &[id.0.into()], |row| {
        let (channel, priority) = (channel(channels, &row.text(0)?)?, priority(row.int(1)?)?);
        Ok(Ok(Fact::Finished { channel, priority, status: to, end_to_end: None }))
    })
}
