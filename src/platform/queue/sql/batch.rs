//! Batches and their chunks. A chunk is deleted in the transaction that inserts its jobs.

use super::{
    super::{
        JobId, Priority, Status,
        batch::{BatchRecord, Chunk},
        pending::Pending,
        schema::decode,
    },
    priority, read, trace, unknown,
};
use crate::platform::store::{StoreError, Tx};
use crate::platform::telemetry::TraceContext;

/// A batch about to be stored.
pub(crate) struct NewBatch<'a> {
    pub id: JobId,
    pub jobs: usize,
    pub notifications: usize,
    pub skipped: usize,
    pub channel: &'static str,
    pub priority: Priority,
    pub first_due: i64,
    pub not_after: i64,
    pub trace: TraceContext,
    pub template: &'a [u8],
}

pub(crate) fn insert(tx: &mut Tx<'_>, batch: &NewBatch<'_>, chunks: &[Chunk]) -> Result<(), StoreError> {
    const BATCH: &str = "INSERT INTO batch (id, jobs, notifications, skipped, channel, priority, first_due, not_after, trace, template) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    const CHUNK: &str =
        "INSERT INTO batch_chunk (first, batch, jobs, notifications, members) VALUES ($1, $2, $3, $4, $5)";
    tx.execute(
        BATCH,
        &[
            batch.id.0.into(),
            (batch.jobs as i64).into(),
            (batch.notifications as i64).into(),
            (batch.skipped as i64).into(),
            batch.channel.into(),
            (batch.priority as i64).into(),
            batch.first_due.into(),
            batch.not_after.into(),
            batch.trace.to_bytes()[..].into(),
            batch.template.into(),
        ],
    )?;
    let mut first = batch.id.part(1);
    for chunk in chunks {
        let (jobs, notifications) = (chunk.jobs as i64, chunk.notifications as i64);
        let members = chunk.members[..].into();
        tx.execute(CHUNK, &[first.0.into(), batch.id.0.into(), jobs.into(), notifications.into(), members])?;
        first = first.part(chunk.jobs);
    }
    Ok(())
}

/// What all jobs of a batch share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub id: JobId,
    pub channel: &'static str,
    pub priority: Priority,
    pub first_due: i64,
    pub not_after: i64,
    pub trace: TraceContext,
    pub jobs: usize,
    pub template: Vec<u8>,
}

/// A chunk as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// The id of its first job.
    pub first: JobId,
    pub jobs: usize,
    pub members: Vec<u8>,
}

/// A batch and its next chunks, up to `limit`.
pub(crate) fn next(
    tx: &mut Tx<'_>,
    id: JobId,
    limit: usize,
    channels: &[&'static str],
) -> Result<Option<(Shared, Vec<Stored>)>, StoreError> {
    const BATCH: &str =
        "SELECT jobs, channel, priority, first_due, not_after, trace, template FROM batch WHERE id = $1";
    const CHUNKS: &str = "SELECT first, jobs, members FROM batch_chunk WHERE first > $1 AND first <= $2 ORDER BY first LIMIT $3";
    let shared = tx.first(BATCH, &[id.0.into()], |row| {
        Ok(Shared {
            id,
            jobs: row.int(0)? as usize,
            channel: read::channel(channels, &row.text(1)?)?,
            priority: priority(row.int(2)?)?,
            first_due: row.int(3)?,
            not_after: row.int(4)?,
            trace: trace(&row.blob(5)?)?,
            template: row.blob(6)?,
        })
    })?;
    let Some(shared) = shared else { return Ok(None) };
    let last = id.part(shared.jobs);
    let chunks = tx.query(CHUNKS, &[id.0.into(), last.0.into(), (limit as i64).into()], |row| {
        Ok(Stored { first: JobId(row.int(0)?), jobs: row.int(1)? as usize, members: row.blob(2)? })
    })?;
    Ok(Some((shared, chunks)))
}

/// Takes a chunk away to put its jobs in its place; `false` if it has been taken before.
pub(crate) fn take(tx: &mut Tx<'_>, first: JobId) -> Result<bool, StoreError> {
    Ok(tx.execute("DELETE FROM batch_chunk WHERE first = $1", &[first.0.into()])? == 1)
}

/// What is not expanded yet; those due by `now` (Unix ms) count as due.
pub(crate) fn pending(tx: &mut Tx<'_>, now: i64) -> Result<Vec<Pending>, StoreError> {
    const SQL: &str = "SELECT b.id, b.priority, b.first_due, sum(c.jobs) FROM batch_chunk c JOIN batch b ON b.id = c.batch GROUP BY b.id";
    tx.query(SQL, &[], |row| {
        let (id, first_due) = (JobId(row.int(0)?), row.int(2)?);
        let (priority, jobs) = (priority(row.int(1)?)?, row.int(3)? as usize);
        Ok(Pending { id, priority, first_due, jobs, scheduled: first_due > now, not_before: 0 })
    })
}

/// A batch with its notifications counted by status: `overall` makes one out of those of a notification's jobs.
pub(crate) fn find(
    tx: &mut Tx<'_>,
    id: JobId,
    channels: &[&'static str],
    overall: fn(&[Status]) -> Status,
) -> Result<Option<BatchRecord>, StoreError> {
    const BATCH: &str = "SELECT jobs, channel, priority, first_due, not_after, trace, notifications, skipped FROM batch WHERE id = $1";
    let found = tx.first(BATCH, &[id.0.into()], |row| {
        let record = BatchRecord {
            id,
            channel: read::channel(channels, &row.text(1)?)?,
            priority: priority(row.int(2)?)?,
            first_due: row.int(3)?,
            not_after: row.int(4)?,
            trace: trace(&row.blob(5)?)?,
            accepted: row.int(6)? as usize,
            skipped: row.int(7)? as usize,
            counts: Vec::new(),
        };
        Ok((record, row.int(0)?))
    })?;
    let Some((mut record, jobs)) = found else { return Ok(None) };
    let mut tally = Tally { overall, current: None, statuses: Vec::new(), counts: Vec::new() };
    let ids = [id.0.into(), (id.0 + jobs).into()];
    tx.query("SELECT id - part, status FROM job WHERE id > $1 AND id <= $2 ORDER BY id", &ids, |row| {
        tally.job(row.int(0)?, decode(row.int(1)?).ok_or_else(|| unknown("status"))?);
        Ok(())
    })?;
    tally.close();
    const LEFT: &str =
        "SELECT coalesce(sum(notifications), 0) FROM batch_chunk WHERE first > $1 AND first <= $2";
    let left = tx.first(LEFT, &ids, |row| row.int(0))?.unwrap_or(0);
    if left > 0 {
        tally.add(Status::Accepted, left as usize);
    }
    record.counts = tally.counts;
    Ok(Some(record))
}

/// Counts notifications out of their jobs, which come one after another.
struct Tally {
    overall: fn(&[Status]) -> Status,
    current: Option<i64>,
    statuses: Vec<Status>,
    counts: Vec<(Status, usize)>,
}

impl Tally {
    fn job(&mut self, notification: i64, status: Status) {
        if self.current.replace(notification) != Some(notification) {
            self.close();
        }
        self.statuses.push(status);
    }

    fn close(&mut self) {
        if !self.statuses.is_empty() {
            self.add((self.overall)(&self.statuses), 1);
            self.statuses.clear();
        }
    }

    fn add(&mut self, status: Status, notifications: usize) {
        match self.counts.iter_mut().find(|(counted, _)| *counted == status) {
            Some((_, count)) => *count += notifications,
            None => self.counts.push((status, notifications)),
        }
    }
}

/// Forgets up to `limit` batches that are older than `until` and have no job left, expanded or not.
pub(crate) fn forget(tx: &mut Tx<'_>, until: JobId, limit: usize) -> Result<usize, StoreError> {
    const SQL: &str = "DELETE FROM batch WHERE id IN (SELECT id FROM batch WHERE id < $1 \
         AND NOT EXISTS (SELECT 1 FROM job WHERE job.id > batch.id AND job.id <= batch.id + batch.jobs) \
         AND NOT EXISTS (SELECT 1 FROM batch_chunk WHERE first > batch.id AND first <= batch.id + batch.jobs) LIMIT $2)";
    tx.execute(SQL, &[until.0.into(), (limit as i64).into()])
}
