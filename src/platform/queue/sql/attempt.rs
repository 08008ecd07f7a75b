//! An attempt's begin and end.

use super::{
    super::{
        JobId, Priority, Status,
        retry::Decision,
        schema::{code, encode},
    },
    priority,
    read::channel,
};
use crate::platform::store::{LedgerState, StoreError, Tx};
use crate::platform::telemetry::TraceContext;

/// Marks a job as `sending` with its `attempt`-th attempt begun; `false` if it is no longer to be sent
/// (cancelled meanwhile), or not yet due again.
pub(crate) fn begin(tx: &mut Tx<'_>, id: JobId, attempt: u32, now: i64) -> Result<bool, StoreError> {
    // `sending` is among the states because a begin whose commit was uncertain is repeated.
    const SQL: &str = "UPDATE job SET status = 5, attempts = $1 WHERE id = $2 AND status <= 5 \
         AND (status <> 4 OR at <= $3)";
    Ok(tx.execute(SQL, &[i64::from(attempt).into(), id.0.into(), now.into()])? == 1)
}

/// Ends a job whose time ran out before an attempt; `false` if it had ended already.
pub(crate) fn expire(tx: &mut Tx<'_>, id: JobId, now: i64) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE job SET status = 8, at = $1 WHERE id = $2 AND status IN (2, 3, 4)";
    let expired = tx.execute(SQL, &[now.into(), id.0.into()])? == 1;
    if expired {
        tx.ledger().moved(LedgerState::Queued, LedgerState::Expired);
    }
    Ok(expired)
}

/// What an attempt came to.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub id: JobId,
    /// Unix ms when it began.
    pub began: i64,
    /// Spent attempts, with this one if it counts.
    pub spent: u32,
    /// Unix ms: due again, or finished.
    pub at: i64,
    pub decision: Decision,
    pub provider: &'static str,
    pub ms: i64,
    /// What the next attempt links to.
    pub trace: Option<TraceContext>,
}

/// Ends an attempt. Repeating it after an uncertain commit changes nothing.
pub(crate) fn complete(tx: &mut Tx<'_>, ended: &Ended) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE job SET status = $1, attempts = $2, at = $3, reason = $4, last_attempt = $5 \
         WHERE id = $6 AND status = 5";
    let decision = &ended.decision;
    let retried = decision.status == Status::Retrying;
    let span = ended.trace.filter(|_| retried).map(TraceContext::to_bytes);
    let changed = tx.execute(
        SQL,
        &[
            encode(decision.status).into(),
            i64::from(ended.spent).into(),
            ended.at.into(),
            decision.reason.into(),
            span.as_ref().map(|bytes| &bytes[..]).into(),
            ended.id.0.into(),
        ],
    )?;
    if changed == 1 {
        record(tx, ended.id, ended.began, decision.outcome, ended.provider, ended.ms)?;
        if let Some(state) = finished_as(decision.status) {
            tx.ledger().moved(LedgerState::Queued, state);
        }
    }
    Ok(())
}

/// Appends to a job's history.
pub(crate) fn record(
    tx: &mut Tx<'_>,
    id: JobId,
    at: i64,
    outcome: &str,
    provider: &str,
    ms: i64,
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO attempt (job, n, at, outcome, provider, ms) \
         SELECT $1, coalesce(max(n), 0) + 1, $2, $3, $4, $5 FROM attempt WHERE job = $1";
    tx.execute(SQL, &[id.0.into(), at.into(), outcome.into(), provider.into(), ms.into()])?;
    Ok(())
}

/// The ledger's state for a final status.
pub(crate) fn finished_as(status: Status) -> Option<LedgerState> {
    Some(match status {
        Status::Delivered => LedgerState::Delivered,
        Status::Dead => LedgerState::Dead,
        Status::Expired => LedgerState::Expired,
        Status::Cancelled => LedgerState::Cancelled,
        Status::Unknown => LedgerState::Unknown,
        Status::Accepted | Status::Sending | Status::Retrying => return None,
    })
}

/// A job that a crash interrupted in an attempt.
#[derive(Clone, Debug)]
pub(crate) struct Interrupted {
    pub id: JobId,
    pub sync: bool,
    pub spent: u32,
    pub channel: &'static str,
    pub priority: Priority,
    /// The last attempt that ended; the interrupted one left no span to link to.
    pub last_attempt: Option<TraceContext>,
}

/// All jobs that were `sending` when the process ended.
pub(crate) fn interrupted(
    tx: &mut Tx<'_>,
    channels: &[&'static str],
) -> Result<Vec<Interrupted>, StoreError> {
    const SQL: &str = "SELECT id, sync, attempts, channel, priority, last_attempt FROM job \
         WHERE status <= 5 AND status = $1";
    tx.query(SQL, &[code::SENDING.into()], |row| {
        Ok(Interrupted {
            id: JobId(row.int(0)?),
            sync: row.int(1)? == 1,
            spent: row.int(2)? as u32,
            channel: channel(channels, &row.text(3)?)?,
            priority: priority(row.int(4)?)?,
            last_attempt: row.optional_blob(5)?.and_then(|bytes| TraceContext::from_bytes(&bytes)),
        })
    })
}
