//! Reading jobs for people: the status call and the dead letters.

use super::{
    super::{
        AttemptRecord, DeadLetters, JobId, JobRecord, Status,
        schema::{decode, encode},
    },
    priority, trace, unknown,
};
use crate::platform::store::{Row, StoreError, Tx};

macro_rules! select_job {
    ($rest:literal) => {
        concat!(
            "SELECT id, part, channel, priority, status, first_due, at, not_after, trace, reason FROM job ",
            $rest
        )
    };
}

/// Finds the channel that a stored name stands for.
pub(crate) fn channel(channels: &[&'static str], name: &str) -> Result<&'static str, StoreError> {
    channels.iter().copied().find(|channel| *channel == name).ok_or_else(|| unknown("channel"))
}

fn record(row: &Row<'_>, channels: &[&'static str]) -> Result<JobRecord, StoreError> {
    let id = JobId(row.int(0)?);
    Ok(JobRecord {
        id,
        notification: JobId(id.0 - row.int(1)?),
        channel: channel(channels, &row.text(2)?)?,
        priority: priority(row.int(3)?)?,
        status: decode(row.int(4)?).ok_or_else(|| unknown("status"))?,
        first_due: row.int(5)?,
        at: row.int(6)?,
        not_after: row.int(7)?,
        trace: trace(&row.blob(8)?)?,
        reason: row.optional_text(9)?,
        attempts: Vec::new(),
    })
}

fn with_attempts(tx: &mut Tx<'_>, mut records: Vec<JobRecord>) -> Result<Vec<JobRecord>, StoreError> {
    const SQL: &str = "SELECT at, outcome, provider, ms FROM attempt WHERE job = $1 ORDER BY n";
    for record in &mut records {
        record.attempts = tx.query(SQL, &[record.id.0.into()], |row| {
            let (at, outcome) = (row.int(0)?, row.text(1)?);
            Ok(AttemptRecord { at, outcome, provider: row.text(2)?, duration_ms: row.int(3)? })
        })?;
    }
    Ok(records)
}

/// All jobs of a notification, in order; empty if its id is not one.
pub(crate) fn notification(
    tx: &mut Tx<'_>,
    id: JobId,
    channels: &[&'static str],
) -> Result<Vec<JobRecord>, StoreError> {
    let Some(parts) = super::person::parts(tx, id)? else { return Ok(Vec::new()) };
    let records = tx.query(
        select_job!("WHERE id >= $1 AND id < $2 ORDER BY id"),
        &[id.0.into(), (id.0 + parts).into()],
        |row| record(row, channels),
    )?;
    with_attempts(tx, records)
}

/// A page of jobs that wait for a person, newest first, older than `before`.
pub(crate) fn dead_letters(
    tx: &mut Tx<'_>,
    which: DeadLetters,
    before: Option<JobId>,
    limit: usize,
    channels: &[&'static str],
) -> Result<Vec<JobRecord>, StoreError> {
    let status = match which {
        DeadLetters::Dead => Status::Dead,
        DeadLetters::Unknown => Status::Unknown,
    };
    let before = before.map_or(i64::MAX, |id| id.0);
    let records = tx.query(
        // The first condition is the index's own, so that SQLite uses it.
        select_job!("WHERE status IN (7, 10) AND status = $1 AND id < $2 ORDER BY id DESC LIMIT $3"),
        &[encode(status).into(), before.into(), (limit as i64).into()],
        |row| record(row, channels),
    )?;
    with_attempts(tx, records)
}

/// The statuses of a notification's jobs, in order.
pub(crate) fn statuses(tx: &mut Tx<'_>, id: JobId) -> Result<Vec<Status>, StoreError> {
    let Some(parts) = super::person::parts(tx, id)? else { return Ok(Vec::new()) };
    const SQL: &str = "SELECT status FROM job WHERE id >= $1 AND id < $2 ORDER BY id";
    tx.query(SQL, &[id.0.into(), (id.0 + parts).into()], |row| {
        decode(row.int(0)?).ok_or_else(|| unknown("status"))
    })
}
