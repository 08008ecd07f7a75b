//! The statements that run for every job, written for both databases when the queue is opened.
//!
//! A batch of rows travels as one JSON text, of which `{rows}` makes the table `v`. Where the databases differ, the
//! two forms stand side by side.

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
    /// Accepts rows without keys, as one call that is a transaction. It gives how many jobs it inserted.
    pub(crate) accept: Sql,
    /// The same for rows with keys.
    pub(crate) accept_keyed: Sql,
    /// The same inside a transaction, for any rows.
    pub(crate) accept_in: Sql,
    /// Which groups of `accept` were not stored, and what their keys say.
    pub(crate) not_stored: Sql,
    /// Ends attempts; gives the ids that were running under the row's worker.
    pub(crate) complete: Sql,
    /// Starts (or expires) due jobs of one channel by weight.
    pub(crate) claim: Sql,
    /// Running jobs whose worker's lease is over.
    pub(crate) orphans: Sql,
    /// Running jobs of one worker.
    pub(crate) own: Sql,
    /// The next piece of the most urgent batch that is due.
    pub(crate) take_chunk: Sql,
    /// Inserts the jobs of a batch, which the ledger has counted.
    pub(crate) expand: Sql,
    /// Adds to the ledger.
    pub(crate) ledger: Sql,
}

/// What is read of a job, in the order that `JobRecord::read` knows.
macro_rules! columns {
    () => {
        "job.id, part, batch, channel, priority, state, accepted_at, first_due, at, not_after, trace, reason, \
         history, payload, spent, unknowns, sync, worker, last_trace"
    };
}
pub(crate) use columns;

/// The fields of a row: of an enqueued job (`enqueue::Row`), or of an attempt that ends (`attempt::Row`).
const FIELDS: &str = "id BIGINT, group_id BIGINT, parts BIGINT, batch BIGINT, channel TEXT, priority BIGINT, state BIGINT, \
    first_due BIGINT, not_after BIGINT, trace TEXT, payload TEXT, scope TEXT, digest TEXT, status BIGINT, body TEXT, \
    location TEXT, guard BIGINT, subject TEXT, worker BIGINT, at BIGINT, spent BIGINT, unknowns BIGINT, history TEXT, \
    last_trace TEXT, reason TEXT";

/// $1 rows, $2 steady now, $3 wall now, $4 worker.
const INSERT_JOBS: &str = "INSERT INTO job (id, part, parts, batch, sync, channel, priority, state, spent, unknowns,
    accepted_at, first_due, at, not_after, worker, trace, history, payload)
  SELECT v.id, v.id - v.group_id, v.parts, v.batch, CASE v.state WHEN 5 THEN 1 ELSE 0 END, v.channel, v.priority,
    v.state, CASE v.state WHEN 5 THEN 1 ELSE 0 END, 0, $3, coalesce(v.first_due, $2), coalesce(v.first_due, $2),
    v.not_after, CASE v.state WHEN 5 THEN $4 ELSE 0 END, unhex(v.trace), '[]', v.payload
  FROM {rows} WHERE v.payload IS NOT NULL";

const INSERT_KEYS: &str = "INSERT INTO idempotency (scope, digest, owner, expires, status, body, location)
  SELECT unhex(v.scope), unhex(v.digest), v.group_id, $3 + 86400000, v.status, unhex(v.body), v.location
  FROM {rows} WHERE v.scope IS NOT NULL AND v.id = v.group_id AND {guard}
  ORDER BY v.scope ON CONFLICT (scope) DO NOTHING";

const NOT_STORED: &str = "SELECT v.group_id, CAST(CASE WHEN i.digest = unhex(v.digest) THEN 1 WHEN i.digest IS NOT NULL THEN 0 END AS BIGINT),
    CAST(i.status AS BIGINT), i.body, i.location
  FROM {rows} LEFT JOIN idempotency i ON i.scope = unhex(v.scope)
  WHERE v.id = v.group_id AND NOT CASE
    WHEN v.scope IS NOT NULL THEN coalesce(i.owner = v.group_id, 1 = 0)
    WHEN v.payload IS NOT NULL THEN EXISTS (SELECT 1 FROM job WHERE job.id = v.id)
    ELSE {guard} END";

/// SQLite runs several statements in one call, with the values of all.
const ACCEPT_SQLITE: &str = "{jobs} AND {guard}; SELECT changes();
  UPDATE ledger SET accepted = accepted + changes() WHERE changes() > 0";
const ACCEPT_KEYED_SQLITE: &str = "{keys};
  {jobs} AND {guard} AND (v.scope IS NULL OR EXISTS (SELECT 1 FROM idempotency i
    WHERE i.scope = unhex(v.scope) AND i.owner = v.group_id)); SELECT changes();
  UPDATE ledger SET accepted = accepted + changes() WHERE changes() > 0";
/// PostgreSQL runs one statement, whose parts see one snapshot.
const ACCEPT_POSTGRES: &str = "WITH jobs AS ({jobs} AND {guard} RETURNING 1) {count}";
const ACCEPT_KEYED_POSTGRES: &str = "WITH keys AS ({keys} RETURNING owner),
  jobs AS ({jobs} AND {guard} AND (v.scope IS NULL OR v.group_id IN (SELECT owner FROM keys)) RETURNING 1) {count}";
const COUNT_POSTGRES: &str = "INSERT INTO ledger SELECT {slot}, count(*), 0, 0, 0, 0, 0 FROM jobs
  ON CONFLICT (slot) DO UPDATE SET accepted = ledger.accepted + excluded.accepted RETURNING (SELECT count(*) FROM jobs)";
const LEDGER: &str = "INSERT INTO ledger (slot, accepted, completed, failed, expired, cancelled, unknown)
  VALUES ({slot}, $1, $2, $3, $4, $5, $6) ON CONFLICT (slot) DO UPDATE SET accepted = ledger.accepted + excluded.accepted,
    completed = ledger.completed + excluded.completed, failed = ledger.failed + excluded.failed,
    expired = ledger.expired + excluded.expired, cancelled = ledger.cancelled + excluded.cancelled,
    unknown = ledger.unknown + excluded.unknown";

const COMPLETE: &str = "UPDATE job SET state = v.state, at = v.at, spent = v.spent, unknowns = v.unknowns,
    history = v.history, last_trace = unhex(v.last_trace), reason = v.reason, worker = 0
  FROM {rows} WHERE job.id = v.id AND job.state = 5 AND job.worker = v.worker RETURNING job.id";

/// Takes nothing for a worker whose lease is over. $1 channel, $2 steady now, $3 wall now, $4 the later of both, $5 how many, $6 worker, $10 how many of them may be
/// bulk, $7 … $9 random shares of a turn: a job that is the n-th of its priority has its turn at
/// (n - share) / weight, and the first turns win.
const CLAIM: &str = "WITH due AS {materialized} (SELECT id FROM ({lanes}) AS lanes
    WHERE EXISTS (SELECT 1 FROM worker WHERE worker.id = $6 AND lease_until > $2) ORDER BY turn LIMIT $5)
  UPDATE job SET state = CASE WHEN not_after < $3 THEN 8 ELSE 5 END, at = $2,
    spent = spent + CASE WHEN not_after < $3 THEN 0 ELSE 1 END, worker = CASE WHEN not_after < $3 THEN 0 ELSE $6 END
  FROM due WHERE job.id = due.id RETURNING {columns}";
const LANE: &str =
    "SELECT id, (row_number() OVER (ORDER BY at) - CAST({share} AS DOUBLE PRECISION)) / {weight}.0 AS turn
  FROM (SELECT id, at FROM job WHERE state <= 4 AND channel = $1 AND priority = {priority} AND at <= $4
    AND at <= CASE WHEN state = 3 THEN $3 ELSE $2 END ORDER BY at LIMIT {limit} {skip}) AS lane";
/// How often each priority has its turn.
const WEIGHTS: [u32; 3] = [16, 4, 1];

/// $1 steady now.
const ORPHANS: &str = "SELECT {columns} FROM job
  WHERE state = 5 AND worker NOT IN (SELECT id FROM worker WHERE lease_until > $1) ORDER BY id LIMIT 500 {skip}";
const OWN: &str = "SELECT {columns} FROM job WHERE state = 5 AND worker = $1";

/// $1 steady now, $2 wall now.
const TAKE_CHUNK: &str =
    "DELETE FROM chunk WHERE (batch, n) IN (SELECT c.batch, c.n FROM chunk c JOIN batch b ON b.id = c.batch
    WHERE b.first_due <= CASE WHEN b.state = 3 THEN $2 ELSE $1 END
    ORDER BY b.priority, c.batch, c.n LIMIT 1 {skip_chunk}) RETURNING batch, members";

impl Statements {
    pub(crate) fn new(dialect: Dialect, guards: &[&str]) -> Self {
        let text = |text: &str| Sql(fill(dialect, text, guards).into());
        let (accept, keyed) = match dialect {
            Dialect::Sqlite => (ACCEPT_SQLITE, ACCEPT_KEYED_SQLITE),
            Dialect::Postgres => (ACCEPT_POSTGRES, ACCEPT_KEYED_POSTGRES),
        };
        let transaction = |body: &str| match dialect {
            Dialect::Sqlite => format!("BEGIN IMMEDIATE; {body}; COMMIT"),
            Dialect::Postgres => body.to_owned(),
        };
        let lanes: Vec<String> =
            (0..).zip(WEIGHTS).map(|(priority, weight)| lane(priority, weight)).collect();
        Self {
            accept: text(&transaction(accept)),
            accept_keyed: text(&transaction(keyed)),
            accept_in: text(keyed),
            not_stored: text(NOT_STORED),
            complete: text(COMPLETE),
            claim: text(&CLAIM.replace("{lanes}", &lanes.join(" UNION ALL "))),
            orphans: text(ORPHANS),
            own: text(OWN),
            take_chunk: text(TAKE_CHUNK),
            expand: text("{jobs}"),
            ledger: text(LEDGER),
        }
    }
}

fn lane(priority: usize, weight: u32) -> String {
    let limit = if priority == 2 { "$10" } else { "$5" };
    let lane = LANE.replace("{share}", &format!("${}", 7 + priority)).replace("{limit}", limit);
    lane.replace("{weight}", &weight.to_string()).replace("{priority}", &priority.to_string())
}

/// The table of a batch's rows.
fn rows(dialect: Dialect) -> String {
    let extract = |field: &str| {
        let name = field.split_whitespace().next().unwrap_or_default();
        format!("value->>'{name}' AS {name}")
    };
    match dialect {
        Dialect::Sqlite => {
            let fields: Vec<String> = FIELDS.split(',').map(extract).collect();
            format!("(SELECT {} FROM jsonb_each($1)) AS v", fields.join(", "))
        }
        Dialect::Postgres => format!("jsonb_to_recordset(CAST($1 AS jsonb)) AS v ({FIELDS})"),
    }
}

/// Fills in parts, and what differs between the databases.
fn fill(dialect: Dialect, text: &str, guards: &[&str]) -> String {
    let (skip, skip_chunk, materialized, slot) = match dialect {
        Dialect::Sqlite => ("", "", "", "0"),
        Dialect::Postgres => (
            "FOR UPDATE SKIP LOCKED",
            "FOR UPDATE OF c SKIP LOCKED",
            "MATERIALIZED",
            "pg_backend_pid() % 1024",
        ),
    };
    let case = |(index, guard): (usize, &&str)| {
        format!(" WHEN {index} THEN {}", guard.replace("{subject}", "v.subject"))
    };
    let cases: String = guards.iter().enumerate().map(case).collect();
    // Number -1 never holds: the row only asks what stands under its key.
    let guard = format!("CASE v.guard WHEN -1 THEN 1 = 0{cases} ELSE 1 = 1 END");
    let parts = [
        ("{count}", COUNT_POSTGRES),
        ("{slot}", slot),
        ("{jobs}", INSERT_JOBS),
        ("{keys}", INSERT_KEYS),
        ("{not_stored}", NOT_STORED),
        ("{guard}", &guard),
        ("{columns}", columns!()),
        ("{rows}", &rows(dialect)),
        ("{skip_chunk}", skip_chunk),
        ("{skip}", skip),
        ("{materialized}", materialized),
    ];
    parts.iter().fold(text.to_owned(), |text, (name, part)| text.replace(name, part))
}
