//! Versioned schemas: each component brings its own steps, forward only.

use super::{Dialect, OpenError, StoreError};
use sqlx::{AnyConnection, AssertSqlSafe};

/// The schema of one part of the service. The queue's own is always there.
#[derive(Clone, Copy, Debug)]
pub struct Component {
    pub name: &'static str,
    pub steps: &'static [Migration],
    /// Tables whose column `id` comes from [`super::Store::new_id`]: new ids are above theirs.
    pub ids: &'static [&'static str],
}

/// One step of a schema. Its version is its place, from 1.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The lowest version of the code that still works with the schema after this step: an older program refuses
    /// to start.
    pub min_reader: i64,
    /// Statements for both databases: types are `BIGINT`, `SMALLINT` and `TEXT`, and these words are replaced:
    /// `{id}` by the type of a primary key from [`super::Store::new_id`], `{bytes}` by BLOB or BYTEA,
    /// `{without_rowid}` after a table with another primary key.
    pub sql: &'static str,
}

/// The tables of the store.
pub(super) const STORE: Component = Component {
    name: "store",
    ids: &[],
    steps: &[Migration { min_reader: 1, sql: include_str!("../../migrations/store_1.sql") }],
};

/// The tables of the queue.
pub(super) const QUEUE: Component = Component {
    name: "queue",
    ids: &["job", "batch"],
    steps: &[Migration { min_reader: 1, sql: include_str!("../../migrations/queue_1.sql") }],
};

const RECORDED: &str = "SELECT version, min_reader FROM schema_version WHERE component = $1";
const RECORD: &str = "INSERT INTO schema_version (component, version, min_reader) VALUES ($1, $2, $3)
    ON CONFLICT (component) DO UPDATE SET version = excluded.version, min_reader = excluded.min_reader";

/// Brings every component to the newest version that this release knows, in the caller's transaction.
pub(super) async fn migrate(
    connection: &mut AnyConnection,
    dialect: Dialect,
    store: &str,
    components: &[Component],
) -> Result<(), OpenError> {
    let unusable = |error: sqlx::Error| OpenError::unusable(store, &StoreError::from(error));
    let own = dialect.pick("", include_str!("../../migrations/postgres.sql"));
    let first = AssertSqlSafe([own, include_str!("../../migrations/schema_version.sql")].concat());
    sqlx::raw_sql(first).execute(&mut *connection).await.map_err(unusable)?;
    for Component { name: component, steps, .. } in components {
        let recorded = sqlx::query_as(RECORDED).bind(*component).fetch_optional(&mut *connection);
        let (found, min_reader): (i64, i64) = recorded.await.map_err(unusable)?.unwrap_or_default();
        let known = steps.len() as i64;
        if min_reader > known {
            return Err(OpenError::TooNew { store: store.to_owned(), component, found, min_reader, known });
        }
        if found > known {
            tracing::warn!(component, found, known, "the store was written by a newer release; reading on");
        }
        for (step, version) in steps.iter().zip(1_i64..).skip(found as usize) {
            let sql = AssertSqlSafe(dialect.schema(step.sql));
            sqlx::raw_sql(sql).execute(&mut *connection).await.map_err(unusable)?;
            let record = sqlx::query(RECORD).bind(*component).bind(version).bind(step.min_reader);
            record.execute(&mut *connection).await.map_err(unusable)?;
        }
    }
    Ok(())
}
