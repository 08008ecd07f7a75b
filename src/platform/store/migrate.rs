//! Versioned migrations: each component of the service brings its own steps.
//!
//! A step says which reader it still allows (`min_reader`): a release that is rolled back goes on
//! reading a newer file as long as its own version is at least that.

use super::{OpenError, StoreError, Tx};
use rusqlite::{Connection, TransactionBehavior};

/// One step of a component's schema.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// From 1, rising by one.
    pub version: i64,
    /// The lowest version of the code that can still work with the schema after this step.
    pub min_reader: i64,
    pub sql: &'static str,
}

/// A component's schema: the platform's own, or one domain's.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    pub component: &'static str,
    pub steps: &'static [Migration],
}

const BOOKKEEPING: &str = "CREATE TABLE IF NOT EXISTS schema_version (\
     component TEXT PRIMARY KEY, version INTEGER NOT NULL, min_reader INTEGER NOT NULL) WITHOUT ROWID";

/// Brings every component to the newest version that this release knows, each in one transaction.
///
/// # Errors
/// The file needs a newer reader than this release, or a statement failed; nothing of that component changed.
pub(super) fn migrate(connection: &mut Connection, path: &str, schemas: &[Schema]) -> Result<(), OpenError> {
    let unusable =
        |error: StoreError| OpenError::Unusable { path: path.to_owned(), reason: error.to_string() };
    connection.execute_batch(BOOKKEEPING).map_err(|error| unusable(error.into()))?;
    for schema in schemas {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| unusable(error.into()))?;
        let (found, min_reader) = recorded(&transaction, schema.component).map_err(unusable)?;
        let known = schema.steps.last().map_or(0, |step| step.version);
        if min_reader > known {
            let component = schema.component;
            return Err(OpenError::TooNew { path: path.to_owned(), component, found, min_reader, known });
        }
        for step in schema.steps.iter().filter(|step| step.version > found) {
            apply(&transaction, schema.component, step).map_err(unusable)?;
        }
        transaction.commit().map_err(|error| unusable(error.into()))?;
        if found > known {
            tracing::warn!(
                component = schema.component,
                found,
                known,
                "the store was written by a newer release; reading on"
            );
        }
    }
    Ok(())
}

fn recorded(connection: &Connection, component: &str) -> Result<(i64, i64), StoreError> {
    let row = Tx::new(connection).first(
        "SELECT version, min_reader FROM schema_version WHERE component = $1",
        &[component.into()],
        |row| Ok((row.int(0)?, row.int(1)?)),
    )?;
    Ok(row.unwrap_or((0, 0)))
}

fn apply(connection: &Connection, component: &str, step: &Migration) -> Result<(), StoreError> {
    connection.execute_batch(step.sql)?;
    Tx::new(connection).execute(
        "INSERT INTO schema_version (component, version, min_reader) VALUES ($1, $2, $3) \
         ON CONFLICT (component) DO UPDATE SET version = excluded.version, min_reader = excluded.min_reader",
        &[component.into(), step.version.into(), step.min_reader.into()],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Migration = Migration { version: 1, min_reader: 1, sql: "CREATE TABLE a (x INTEGER)" };
    const TWO: Migration = Migration { version: 2, min_reader: 1, sql: "ALTER TABLE a ADD COLUMN y INTEGER" };
    const THREE: Migration = Migration { version: 3, min_reader: 3, sql: "DROP TABLE a" };

    fn run(connection: &mut Connection, steps: &'static [Migration]) -> Result<(), OpenError> {
        migrate(connection, "test.db", &[Schema { component: "test", steps }])
    }

    #[test]
    fn a_release_rolled_back_reads_on_as_long_as_the_newer_schema_allows_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, &[ONE, TWO]).unwrap();
        run(&mut connection, &[ONE]).unwrap();
    }

    #[test]
    fn a_file_that_needs_a_newer_reader_is_refused_by_name() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, &[ONE, TWO, THREE]).unwrap();
        let error = run(&mut connection, &[ONE, TWO]).unwrap_err().to_string();
        assert!(error.contains("test schema 3") && error.contains("at least 3"), "{error}");
    }

    #[test]
    fn a_failing_step_leaves_the_version_it_found() {
        const BROKEN: Migration =
            Migration { version: 2, min_reader: 1, sql: "CREATE TABLE b (z); NONSENSE" };
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, &[ONE]).unwrap();
        run(&mut connection, &[ONE, BROKEN]).unwrap_err();
        assert_eq!(recorded(&connection, "test").unwrap(), (1, 1));
        assert!(connection.execute_batch("SELECT * FROM b").is_err());
    }
}
