//! The statements that run for every job, written for both databases when the queue is opened.
//!
//! A batch of rows travels as one JSON text, of which `{rows}` makes the table `v`. Where the databases differ, the
//! two forms stand side by side in the folder `sql`.

use crate::store::Dialect;
use sqlx::{Any, AssertSqlSafe, any::AnyArguments};
use std::sync::Arc;

/// A query on either database.
pub(crate) type Query<'q> = sqlx::query::Query<'q, Any, AnyArguments>;

/// A statement's text.
#[derive(Clone, Debug)]
pub(crate) struct Sql(Arc<str>);

impl Sql {
    pub(crate) fn query(&self) -> Query<'static> {
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
    /// Ends attempts and counts them in the ledger: all of them, or none if one is not running under its row's worker.
    pub(crate) complete: Sql,
    /// Which of these attempts are still running.
    pub(crate) running: Sql,
    /// The dispatcher's transaction in one call: ends attempts, and gives due jobs of each channel that it starts.
    pub(crate) turn: Sql,
    /// Running jobs whose worker's lease is over.
    pub(crate) orphans: Sql,
    /// The beginning of a query of jobs.
    pub(crate) job: String,
    /// The next piece of the most urgent batch that is due.
    pub(crate) take_chunk: Sql,
    /// Inserts the jobs of a batch, which the ledger has counted.
    pub(crate) expand: Sql,
    /// Adds to the ledger.
    pub(crate) ledger: Sql,
}

/// What is read of a job, in the order of `model::Stored`.
const COLUMNS: &str = "job.id, part, batch, channel, priority, state, accepted_at, first_due, at, not_after, hex(trace), \
    reason, history, payload, spent, unknowns, sync, worker, hex(last_trace)";

/// The fields of a row: of an enqueued job (`enqueue::Row`), or of an attempt that ends (`attempt::Row`).
const FIELDS: &str = "id BIGINT, group_id BIGINT, parts BIGINT, batch BIGINT, channel TEXT, priority BIGINT, state BIGINT, \
    first_due BIGINT, not_after BIGINT, trace TEXT, payload TEXT, scope TEXT, digest TEXT, status BIGINT, body TEXT, \
    location TEXT, subject TEXT, worker BIGINT, at BIGINT, spent BIGINT, unknowns BIGINT, history TEXT, \
    last_trace TEXT, reason TEXT";

/// What is due of a channel.
const DUE: &str =
    "state <= 4 AND channel = {channel} AND at <= $9 AND at <= CASE WHEN state = 3 THEN $8 ELSE $7 END";

/// A file of the folder `sql`.
macro_rules! file {
    ($name:literal) => {
        include_str!(concat!("../sql/", $name, ".sql"))
    };
}

impl Statements {
    /// The statements of a queue with so many channels.
    pub(crate) fn new(dialect: Dialect, guard: &str, channels: usize) -> Self {
        let text = |text: &str| Sql(fill(dialect, text, guard).into());
        // SQLite runs several statements in one call, with the values of all. PostgreSQL runs one statement, whose
        // parts see one snapshot.
        let accept = dialect.pick(file!("accept_sqlite"), file!("accept_postgres"));
        let keyed = dialect.pick(file!("accept_keyed_sqlite"), file!("accept_keyed_postgres"));
        let complete = dialect.pick(file!("complete_sqlite"), file!("complete_postgres"));
        let transaction = |body: &str| dialect.pick("BEGIN IMMEDIATE; {}; COMMIT", "{}").replace("{}", body);
        Self {
            accept: text(&transaction(accept)),
            accept_keyed: text(&transaction(keyed)),
            accept_in: text(keyed),
            not_stored: text(file!("not_stored")),
            complete: text(&dialect.pick("{}", "WITH {} SELECT 1").replace("{}", complete)),
            running: text(file!("running")),
            turn: text(&transaction(&turn(dialect, complete, channels))),
            orphans: text(file!("orphans")),
            job: fill(dialect, "SELECT {job} FROM job", guard),
            take_chunk: text(file!("take_chunk")),
            expand: text("{jobs}"),
            ledger: text(file!("ledger")),
        }
    }
}

/// A dispatcher's transaction. Its values: $1 rows, $2 how many, $3 to $6 how many of them are completed,
/// failed, expired and of unknown outcome; $7 steady now, $8 wall now, $9 the later of both, $10 the worker, $11 how many
/// rows answer a key; and for each channel its name, how many jobs may start, how many of them may be bulk, and three
/// random shares of a turn.
fn turn(dialect: Dialect, complete: &str, channels: usize) -> String {
    const NAMES: [&str; 6] = ["{channel}", "{free}", "{most_bulk}", "{urgent}", "{normal}", "{bulk}"];
    let claim = |channel: usize| {
        let numbered = NAMES.iter().zip(12 + channel * NAMES.len()..);
        let claim = file!("claim").replace("{due}", DUE);
        numbered.fold(claim, |text, (name, number)| text.replace(name, &format!("${number}")))
    };
    let file = dialect.pick(file!("turn_sqlite"), file!("turn_postgres"));
    let between = dialect.pick("; INSERT INTO due ", ") UNION ALL (");
    let claims: Vec<String> = (0..channels).map(claim).collect();
    file.replace("{ended}", complete).replace("{claims}", &claims.join(between))
}

/// The table of a batch's rows.
fn rows(dialect: Dialect) -> String {
    let extract = |field: &str| {
        let name = field.split_whitespace().next().unwrap_or_default();
        format!("value->>'{name}' AS {name}")
    };
    let fields: Vec<String> = FIELDS.split(',').map(extract).collect();
    dialect.pick(
        format!("(SELECT {} FROM jsonb_each($1)) AS v", fields.join(", ")),
        format!("jsonb_to_recordset(CAST($1 AS jsonb)) AS v ({FIELDS})"),
    )
}

/// Fills in parts, and what differs between the databases.
fn fill(dialect: Dialect, text: &str, guard: &str) -> String {
    let guard = guard.replace("{subject}", "v.subject");
    // A row of state 0 only asks what stands under its key.
    let guard =
        format!("CASE WHEN v.state = 0 THEN 1 = 0 WHEN v.subject IS NULL THEN 1 = 1 ELSE {guard} END");
    let parts = [
        ("{count}", file!("count_postgres")),
        ("{slot}", dialect.pick("0", "pg_backend_pid() % 1024")),
        ("{jobs}", file!("insert_jobs")),
        ("{keys}", file!("insert_keys")),
        ("{complete}", file!("complete")),
        ("{guard}", &guard),
        ("{answers}", file!("answers")),
        ("{start}", file!("start")),
        ("{job}", "CAST({array}({array}({columns})) AS TEXT)"),
        ("{all}", "coalesce(CAST({array_of}({array}({columns})) AS TEXT), '[]')"),
        ("{columns}", COLUMNS),
        ("{array}", dialect.pick("json_array", "json_build_array")),
        ("{array_of}", dialect.pick("json_group_array", "json_agg")),
        ("{rows}", &rows(dialect)),
        ("{skip_chunk}", dialect.pick("", "FOR UPDATE OF c SKIP LOCKED")),
        ("{skip}", dialect.pick("", "FOR UPDATE SKIP LOCKED")),
    ];
    parts.iter().fold(text.to_owned(), |text, (name, part)| text.replace(name, part))
}
