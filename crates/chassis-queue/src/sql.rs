//! The statements that run for every job, written for both databases when the queue is opened.
//!
//! A batch of rows travels as one JSON text: `{rows}` is a table of its elements, `v.value`. Where the databases
//! differ, the two forms stand side by side.

use crate::store::Dialect;
use sqlx::{Any, AssertSqlSafe, any::AnyArguments, query::Query};
use std::sync::Arc;

/// A statement's text.
#[derive(Clone, Debug)]
pub(crate) struct Sql(Arc<str>);

impl Sql {
    pub(crate) fn query(&self) -> Query<'static, Any, AnyArguments> {
        sqlx::query(AssertSqlSafe(Arc::clone(&self.0)))
    }
}

#[derive(Debug)]
pub(crate) struct Statements {
    /// Accepts rows that have neither key nor guard, as one call that is a transaction.
    pub(crate) accept_plain: Sql,
    /// Accepts any rows, as one call that is a transaction. On SQLite it gives what [`Self::not_stored`] gives.
    pub(crate) accept: Sql,
    /// The same inside a transaction.
    pub(crate) accept_in: Sql,
    /// Which groups of `accept` were not stored, and what their keys say.
    pub(crate) not_stored: Sql,
    /// Ends attempts; gives the ids that it found running under the row's worker.
    pub(crate) complete: Sql,
    /// Starts (or expires) due jobs of one channel by weight.
    pub(crate) claim: Sql,
    /// The earliest due time of what waits, by channel.
    pub(crate) next_due: Sql,
    /// Running jobs whose worker's lease is over.
    pub(crate) orphans: Sql,
    /// Running jobs of one worker.
    pub(crate) own: Sql,
    pub(crate) take_chunk: Sql,
    pub(crate) insert_expanded: Sql,
}

/// $1 rows, $2 steady now, $3 wall now, $4 worker, $5 ledger slot. A row is an array, see `enqueue::Row`.
const INSERT_JOBS: &str =
    "INSERT INTO job (id, part, parts, batch, sync, channel, priority, state, spent, unknowns,
    accepted_at, first_due, at, not_after, worker, trace, history, payload)
  SELECT CAST(v.value->>0 AS BIGINT), CAST(v.value->>0 AS BIGINT) - CAST(v.value->>1 AS BIGINT),
    CAST(v.value->>2 AS BIGINT), CAST(v.value->>3 AS BIGINT),
    CASE CAST(v.value->>6 AS BIGINT) WHEN 5 THEN 1 ELSE 0 END, v.value->>4, CAST(v.value->>5 AS BIGINT),
    CAST(v.value->>6 AS BIGINT), CASE CAST(v.value->>6 AS BIGINT) WHEN 5 THEN 1 ELSE 0 END, 0, $3,
    coalesce(CAST(v.value->>7 AS BIGINT), $2), coalesce(CAST(v.value->>7 AS BIGINT), $2),
    CAST(v.value->>8 AS BIGINT), CASE CAST(v.value->>6 AS BIGINT) WHEN 5 THEN $4 ELSE 0 END,
    unhex(v.value->>9), '', v.value->>10
  FROM {rows} WHERE v.value->>10 IS NOT NULL";

const INSERT_KEYS: &str = "INSERT INTO idempotency (scope, digest, owner, expires, status, body, location)
  SELECT unhex(v.value->>11), unhex(v.value->>12), CAST(v.value->>1 AS BIGINT), $3 + 86400000,
    CAST(v.value->>13 AS BIGINT), unhex(v.value->>14), v.value->>15
  FROM {rows} WHERE v.value->>11 IS NOT NULL AND v.value->>0 = v.value->>1 AND {guard}
  ORDER BY v.value->>11 ON CONFLICT (scope) DO NOTHING";

const NOT_STORED: &str =
    "SELECT CAST(v.value->>1 AS BIGINT), i.digest, CAST(i.status AS BIGINT), i.body, i.location, i.owner
  FROM {rows} LEFT JOIN idempotency i ON i.scope = unhex(v.value->>11)
  WHERE v.value->>0 = v.value->>1 AND NOT CASE
    WHEN v.value->>11 IS NOT NULL THEN coalesce(i.owner = CAST(v.value->>1 AS BIGINT), 1 = 0)
    WHEN v.value->>10 IS NOT NULL THEN EXISTS (SELECT 1 FROM job WHERE job.id = CAST(v.value->>0 AS BIGINT))
    ELSE {guard} END";

/// SQLite runs several statements in one call, with the values of all.
const ACCEPT_PLAIN_SQLITE: &str = "{jobs}; UPDATE ledger SET accepted = accepted + changes() WHERE slot = $5";
const ACCEPT_SQLITE: &str = "{keys};
  {jobs} AND {guard} AND (v.value->>11 IS NULL OR EXISTS (SELECT 1 FROM idempotency i
    WHERE i.scope = unhex(v.value->>11) AND i.owner = CAST(v.value->>1 AS BIGINT)));
  UPDATE ledger SET accepted = accepted + changes() WHERE slot = $5; {not_stored}";
/// PostgreSQL runs one statement, whose parts see one snapshot.
const ACCEPT_PLAIN_POSTGRES: &str = "WITH jobs AS ({jobs} RETURNING 1)
  UPDATE ledger SET accepted = accepted + (SELECT count(*) FROM jobs) WHERE slot = $5";
const ACCEPT_POSTGRES: &str = "WITH keys AS ({keys} RETURNING owner),
  jobs AS ({jobs} AND {guard} AND (v.value->>11 IS NULL OR CAST(v.value->>1 AS BIGINT) IN (SELECT owner FROM keys)) RETURNING 1)
  UPDATE ledger SET accepted = accepted + (SELECT count(*) FROM jobs) WHERE slot = $5";

/// $1 rows: id, worker, state, at, spent, unknowns, history, last trace, reason.
const COMPLETE: &str = "UPDATE job SET state = CAST(v.value->>2 AS BIGINT), at = CAST(v.value->>3 AS BIGINT),
    spent = CAST(v.value->>4 AS BIGINT), unknowns = CAST(v.value->>5 AS BIGINT), history = v.value->>6,
    last_trace = unhex(v.value->>7), reason = v.value->>8, worker = 0
  FROM {rows} WHERE job.id = CAST(v.value->>0 AS BIGINT) AND job.state = 5 AND job.worker = CAST(v.value->>1 AS BIGINT)
  RETURNING job.id";

/// $1 channel, $2 steady now, $3 wall now, $4 the later of both, $5 how many, $6 worker, $10 how many of them
/// may be bulk, $7 … $9 random shares of a turn: a job that is the n-th of its priority has its turn at (n - share) / weight, and the first turns win.
const CLAIM: &str = "WITH due AS {materialized} (SELECT id FROM ({lanes}) AS lanes ORDER BY turn LIMIT $5)
  UPDATE job SET state = CASE WHEN not_after < $3 THEN 8 ELSE 5 END, at = $2,
    spent = spent + CASE WHEN not_after < $3 THEN 0 ELSE 1 END, worker = CASE WHEN not_after < $3 THEN 0 ELSE $6 END
  FROM due WHERE job.id = due.id
  RETURNING job.id, part, batch, channel, priority, state, spent, unknowns, first_due, not_after, worker, trace,
    last_trace, history, payload";
const LANE: &str =
    "SELECT id, (row_number() OVER (ORDER BY at) - CAST({share} AS DOUBLE PRECISION)) / {weight}.0 AS turn
  FROM (SELECT id, at FROM job WHERE state <= 4 AND channel = $1 AND priority = {priority} AND at <= $4
    AND at <= CASE WHEN state = 3 THEN $3 ELSE $2 END ORDER BY at LIMIT {limit} {skip}) AS lane";
/// How often each priority has its turn.
const WEIGHTS: [u32; 3] = [16, 4, 1];

const RUNNING: &str =
    "SELECT id, part, batch, channel, priority, state, spent, unknowns, first_due, not_after, worker, trace,
    last_trace, history, payload, sync, at FROM job WHERE state = 5";
/// $1 steady now.
const ORPHANS: &str =
    "{running} AND worker NOT IN (SELECT id FROM worker WHERE lease_until > $1) ORDER BY id LIMIT 500 {skip}";

/// $1 steady now, $2 wall now: the next piece of the most urgent batch that is due.
const TAKE_CHUNK: &str =
    "DELETE FROM chunk WHERE (batch, n) IN (SELECT c.batch, c.n FROM chunk c JOIN batch b ON b.id = c.batch
    WHERE b.first_due <= CASE WHEN b.state = 3 THEN $2 ELSE $1 END
    ORDER BY b.priority, c.batch, c.n LIMIT 1 {skip_chunk}) RETURNING batch, members";

impl Statements {
    pub(crate) fn new(dialect: Dialect, guards: &[&str], channels: &[&str]) -> Self {
        let text = |text: &str| Sql(fill(dialect, text, guards).into());
        let (plain, full) = match dialect {
            Dialect::Sqlite => (ACCEPT_PLAIN_SQLITE, ACCEPT_SQLITE),
            Dialect::Postgres => (ACCEPT_PLAIN_POSTGRES, ACCEPT_POSTGRES),
        };
        let transaction = |body: &str| match dialect {
            Dialect::Sqlite => format!("BEGIN IMMEDIATE; {body}; COMMIT"),
            Dialect::Postgres => body.to_owned(),
        };
        let lanes: Vec<String> =
            (0..).zip(WEIGHTS).map(|(priority, weight)| lane(priority, weight)).collect();
        let next: Vec<String> = channels
            .iter()
            .flat_map(|channel| (0..WEIGHTS.len()).map(move |priority| next_due(channel, priority)))
            .collect();
        Self {
            accept_plain: text(&transaction(plain)),
            accept: text(&transaction(full)),
            accept_in: text(full),
            not_stored: text(NOT_STORED),
            complete: text(COMPLETE),
            claim: text(&CLAIM.replace("{lanes}", &lanes.join(" UNION ALL "))),
            next_due: text(&next.join(" UNION ALL ")),
            orphans: text(ORPHANS),
            own: text("{running} AND worker = $1"),
            take_chunk: text(TAKE_CHUNK),
            insert_expanded: text("{jobs}"),
        }
    }
}

fn lane(priority: usize, weight: u32) -> String {
    LANE.replace("{share}", &format!("${}", 7 + priority))
        .replace("{weight}", &weight.to_string())
        .replace("{limit}", if priority == 2 { "$10" } else { "$5" })
        .replace("{priority}", &priority.to_string())
}

/// A channel is one of the service's own constants.
fn next_due(channel: &str, priority: usize) -> String {
    format!(
        "SELECT '{channel}', (SELECT min(at) FROM job WHERE state <= 4 AND channel = '{channel}' AND priority = {priority})"
    )
}

/// Fills in parts, and what differs between the databases.
fn fill(dialect: Dialect, text: &str, guards: &[&str]) -> String {
    let (rows, skip, skip_chunk, materialized) = match dialect {
        Dialect::Sqlite => ("json_each($1) AS v", "", "", ""),
        Dialect::Postgres => (
            "jsonb_array_elements(CAST($1 AS jsonb)) AS v(value)",
            "FOR UPDATE SKIP LOCKED",
            "FOR UPDATE OF c SKIP LOCKED",
            "MATERIALIZED",
        ),
    };
    let cases: String = (0..)
        .zip(guards)
        .map(|(index, guard)| format!(" WHEN {index} THEN {}", guard.replace("{subject}", "(v.value->>17)")))
        .collect();
    // Number -1 never holds: the row only asks what stands under its key.
    let guard = format!("CASE CAST(v.value->>16 AS BIGINT) WHEN -1 THEN 1 = 0{cases} ELSE 1 = 1 END");
    text.replace("{running}", RUNNING)
        .replace("{jobs}", INSERT_JOBS)
        .replace("{keys}", INSERT_KEYS)
        .replace("{not_stored}", NOT_STORED)
        .replace("{guard}", &guard)
        .replace("{rows}", rows)
        .replace("{skip_chunk}", skip_chunk)
        .replace("{skip}", skip)
        .replace("{materialized}", materialized)
}
