//! The queue's SQL. What happens to counts and memory afterwards is decided elsewhere.

pub(super) mod attempt;
pub(super) mod batch;
pub(super) mod person;
pub(super) mod read;
pub(super) mod sweep;

use super::{JobId, Priority, schema::code};
use crate::platform::store::{StoreError, Tx};
use crate::platform::telemetry::TraceContext;

/// A job about to be stored; one notification's jobs differ in `part` and `payload` only.
#[derive(Clone)]
pub(super) struct NewJob<'a> {
    pub id: JobId,
    pub part: usize,
    pub parts: usize,
    pub sync: bool,
    pub scheduled: bool,
    pub channel: &'static str,
    pub priority: Priority,
    pub first_due: i64,
    pub not_after: i64,
    pub trace: TraceContext,
    pub payload: &'a [u8],
}

pub(super) fn insert(tx: &mut Tx<'_>, job: &NewJob<'_>) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO job (id, part, parts, sync, channel, priority, status, attempts, first_due, at, \
         not_after, trace, payload) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    let status = match (job.sync, job.scheduled) {
        (true, _) => code::SENDING,
        (false, true) => code::SCHEDULED,
        (false, false) => code::ACCEPTED,
    };
    tx.execute(
        SQL,
        &[
            job.id.0.into(),
            (job.part as i64).into(),
            (job.parts as i64).into(),
            i64::from(job.sync).into(),
            job.channel.into(),
            (job.priority as i64).into(),
            status.into(),
            i64::from(job.sync).into(),
            job.first_due.into(),
            job.first_due.into(),
            job.not_after.into(),
            job.trace.to_bytes()[..].into(),
            job.payload.into(),
        ],
    )?;
    Ok(())
}

/// A stored number that this release does not know: the file was changed by something else.
pub(super) fn unknown(what: &str) -> StoreError {
    StoreError::Statement(format!("a job's {what} is not one that this release knows"))
}

pub(super) fn priority(number: i64) -> Result<Priority, StoreError> {
    Priority::ALL.get(number as usize).copied().ok_or_else(|| unknown("priority"))
}

pub(super) fn trace(bytes: &[u8]) -> Result<TraceContext, StoreError> {
    TraceContext::from_bytes(bytes).ok_or_else(|| unknown("trace"))
}
