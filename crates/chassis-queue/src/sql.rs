//! The statements that run for every job, written for both databases when the queue is opened.
//!
//! A batch of rows travels as one JSON text, of which `{rows}` makes the table `v`. Where the databases differ, the
//! two forms stand side by side in the folder `sql`.

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
    location TEXT, subject TEXT, worker BIGINT, at BIGINT, spent BIGINT, unknowns BIGINT, history TEXT, \
    last_trace TEXT, reason TEXT";

/// What is due of a channel.
const DUE: &str =
    "state <= 4 AND channel = $1 AND at <= $4 AND at <= CASE WHEN state = 3 THEN $3 ELSE $2 END";

/// A file of the folder `sql`.
macro_rules! file {
    ($name:literal) => {
        include_str!(concat!("../sql/", $name, ".sql"))
    };
}

impl Statements {
    pub(crate) fn new(dialect: Dialect, guard: &str) -> Self {
        let text = |text: &str| Sql(fill(dialect, text, guard).into());
        // SQLite runs several statements in one call, with the values of all. PostgreSQL runs one statement, whose
        // parts see one snapshot.
        let (accept, keyed) = match dialect {
            Dialect::Sqlite => (file!("accept_sqlite"), file!("accept_keyed_sqlite")),
            Dialect::Postgres => (file!("accept_postgres"), file!("accept_keyed_postgres")),
        };
        let transaction = |body: &str| match dialect {
            Dialect::Sqlite => format!("BEGIN IMMEDIATE; {body}; COMMIT"),
            Dialect::Postgres => body.to_owned(),
        };
        Self {
            accept: text(&transaction(accept)),
            accept_keyed: text(&transaction(keyed)),
            accept_in: text(keyed),
            not_stored: text(file!("not_stored")),
            complete: text(file!("complete")),
            claim: text(file!("claim")),
            orphans: text(file!("orphans")),
            own: text("SELECT {columns} FROM job WHERE state = 5 AND worker = $1"),
            take_chunk: text(file!("take_chunk")),
            expand: text("{jobs}"),
            ledger: text(file!("ledger")),
        }
    }
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
fn fill(dialect: Dialect, text: &str, guard: &str) -> String {
    let (skip, skip_chunk, materialized, slot) = match dialect {
        Dialect::Sqlite => ("", "", "", "0"),
        Dialect::Postgres => (
            "FOR UPDATE SKIP LOCKED", "FOR UPDATE OF c SKIP LOCKED", "MATERIALIZED",
            "pg_backend_pid() % 1024",
        ),
    };
    let guard = guard.replace("{subject}", "v.subject");
    // A row of state 0 only asks what stands under its key.
    let guard =
        format!("CASE WHEN v.state = 0 THEN 1 = 0 WHEN v.subject IS NULL THEN 1 = 1 ELSE {guard} END");
    let parts = [
        ("{count}", file!("count_postgres")),
        ("{slot}", slot),
        ("{jobs}", file!("insert_jobs")),
        ("{keys}", file!("insert_keys")),
        ("{due}", DUE),
        ("{guard}", &guard),
        ("{columns}", columns!()),
        ("{rows}", &rows(dialect)),
        ("{skip_chunk}", skip_chunk),
        ("{skip}", skip),
        ("{materialized}", materialized),
    ];
    parts.iter().fold(text.to_owned(), |text, (name, part)| text.replace(name, part))
}
