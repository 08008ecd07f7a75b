//! Reading and clearing in bulk: what is due, what the counts are, what has been kept long enough.

use super::{
    super::{JobId, Priority, lanes::Ready, schema::code},
    priority, read, trace,
};
use crate::platform::store::{StoreError, Tx};
use crate::platform::telemetry::TraceContext;
use std::sync::Arc;

/// Unfinished jobs of one priority that have become due since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    pub scheduled: i64,
    pub retrying: i64,
}

/// What has become due after `since` and until `now` (Unix ms, inclusive).
pub(crate) fn become_due(tx: &mut Tx<'_>, of: Priority, since: i64, now: i64) -> Result<Due, StoreError> {
    const SQL: &str = "SELECT coalesce(sum(status = 3), 0), coalesce(sum(status = 4), 0) FROM job \
         WHERE priority = $1 AND status <= 5 AND at > $2 AND at <= $3";
    let due = tx.first(SQL, &[(of as i64).into(), since.into(), now.into()], |row| {
        Ok(Due { scheduled: row.int(0)?, retrying: row.int(1)? })
    })?;
    Ok(due.unwrap_or_default())
}

/// When the next waiting job is due (Unix ms).
pub(crate) fn next_due(tx: &mut Tx<'_>, after: i64) -> Result<Option<i64>, StoreError> {
    const SQL: &str = "SELECT at FROM job WHERE priority = $1 AND status <= 5 AND at > $2 AND status IN (3, 4) \
         ORDER BY at LIMIT 1";
    let mut next = None;
    for of in Priority::ALL {
        let at = tx.first(SQL, &[(of as i64).into(), after.into()], |row| row.int(0))?;
        next = [next, at].into_iter().flatten().min();
    }
    Ok(next)
}

/// Due jobs of one priority, the longest due first: those accepted until `now`, and those whose `sendAt` or
/// retry has come until `counted`, up to which [`become_due`] has told the counts. A synchronous one belongs to its caller: sent from
/// here as well, it would arrive twice.
pub(crate) fn due(
    tx: &mut Tx<'_>,
    of: Priority,
    (now, counted): (i64, i64),
    limit: usize,
    channels: &[&'static str],
) -> Result<Vec<Ready>, StoreError> {
    const SQL: &str = "SELECT id, part, channel, attempts, first_due, not_after, trace, payload, last_attempt \
         FROM job WHERE priority = $1 AND status <= 5 AND at <= $2 AND (status = 2 OR at <= $3) AND sync = 0 ORDER BY at LIMIT $4";
    tx.query(SQL, &[(of as i64).into(), now.into(), counted.into(), (limit as i64).into()], |row| {
        Ok(Ready {
            id: JobId(row.int(0)?),
            notification: JobId(row.int(0)? - row.int(1)?),
            channel: read::channel(channels, &row.text(2)?)?,
            priority: of,
            spent: row.int(3)? as u32,
            first_due: row.int(4)?,
            not_after: row.int(5)?,
            trace: trace(&row.blob(6)?)?,
            payload: Arc::from(row.blob(7)?),
            last_attempt: row.optional_blob(8)?.and_then(|bytes| TraceContext::from_bytes(&bytes)),
        })
    })
}

/// Unfinished jobs by state, as the counts in memory begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    pub status: i64,
    pub waits: bool,
    pub jobs: usize,
}

pub(crate) fn live(tx: &mut Tx<'_>, now: i64) -> Result<Vec<Live>, StoreError> {
    const SQL: &str = "SELECT status, at > $1, count(*) FROM job WHERE status <= 5 GROUP BY 1, 2";
    tx.query(SQL, &[now.into()], |row| {
        let status = row.int(0)?;
        let waits = row.int(1)? == 1 && (status == code::SCHEDULED || status == code::RETRYING);
        Ok(Live { status, waits, jobs: row.int(2)? as usize })
    })
}

/// Attempted, unfinished jobs: priority, first due and id.
pub(crate) fn attempted(tx: &mut Tx<'_>) -> Result<Vec<(Priority, i64, JobId)>, StoreError> {
    const SQL: &str = "SELECT priority, first_due, id FROM job WHERE status <= 5 AND attempts > 0";
    tx.query(SQL, &[], |row| Ok((priority(row.int(0)?)?, row.int(1)?, JobId(row.int(2)?))))
}

/// The highest id that is taken, those among them that are reserved for a batch's jobs.
pub(crate) fn highest(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    const JOB: &str = "SELECT coalesce(max(id), 0) FROM job";
    const BATCH: &str = "SELECT coalesce(max(id + jobs), 0) FROM batch";
    let job = tx.first(JOB, &[], |row| row.int(0))?.unwrap_or(0);
    Ok(tx.first(BATCH, &[], |row| row.int(0))?.unwrap_or(0).max(job))
}

/// Looks at `limit` jobs from `after` on: those to be deleted, and where the next look begins (`None` at the end).
/// Ids rise with time, so that the look ends at the first job accepted after `cutoff` (Unix ms).
pub(crate) fn expired(
    tx: &mut Tx<'_>,
    after: JobId,
    cutoff: i64,
    limit: usize,
) -> Result<(Vec<JobId>, Option<JobId>), StoreError> {
    const SQL: &str = "SELECT id, status, at FROM job WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3";
    let until = JobId::first_of(cutoff);
    let seen = tx.query(SQL, &[after.0.into(), until.0.into(), (limit as i64).into()], |row| {
        Ok((JobId(row.int(0)?), row.int(1)?, row.int(2)?))
    })?;
    let next = if seen.len() == limit { seen.last().map(|(id, ..)| *id) } else { None };
    // Delivered, dead, expired, cancelled; what is unknown waits for a person, however long.
    let old = |status: i64, at: i64| (6..=9).contains(&status) && at < cutoff;
    Ok((seen.into_iter().filter(|(_, status, at)| old(*status, *at)).map(|(id, ..)| id).collect(), next))
}

/// Deletes finished jobs and their histories; the ledger goes on counting them.
pub(crate) fn delete(tx: &mut Tx<'_>, ids: &[JobId]) -> Result<(), StoreError> {
    for id in ids {
        // A replay may have come between.
        if tx.execute("DELETE FROM job WHERE id = $1 AND status BETWEEN 6 AND 9", &[id.0.into()])? == 1 {
            tx.execute("DELETE FROM attempt WHERE job = $1", &[id.0.into()])?;
        }
    }
    Ok(())
}
