//! The reports' SQL and their table. It runs in whatever transaction it is given, on either database.

use super::model::{Invalid, Kept, PatientId, Report, ReportId};
use crate::platform::{
    id::RowId,
    store::{Migration, Row, Schema, StoreError, Tx},
};

/// The domain's table. Types are those that SQLite and PostgreSQL both take.
pub const SCHEMA: Schema = Schema { component: "reports", steps: &[REPORTS] };

const REPORTS: Migration = Migration {
    version: 1,
    min_reader: 1,
    sql: "
            CREATE TABLE reports (
                id BIGINT PRIMARY KEY NOT NULL,
                patient_id TEXT NOT NULL,
                content BYTEA NOT NULL,       -- UTF-8; not TEXT, which is not taken with U+0000 everywhere
                submitted_at BIGINT NOT NULL  -- Unix ms
            );
            -- A patient's latest report is the last of its entries here: ids rise with time.
            CREATE INDEX reports_by_patient ON reports (patient_id, id);
        ",
};

macro_rules! latest_of_a_patient {
    () => {
        "SELECT id, patient_id, content, submitted_at FROM reports WHERE patient_id = $1 ORDER BY id DESC LIMIT 1"
    };
}

/// Keeps a report.
pub fn insert(tx: &mut Tx<'_>, report: &Report) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO reports (id, patient_id, content, submitted_at) VALUES ($1, $2, $3, $4)";
    let params = [
        report.id.0.number().into(),
        report.patient.as_str().into(),
        report.content.as_str().as_bytes().into(),
        report.submitted_at.into(),
    ];
    tx.execute(SQL, &params).map(drop)
}

/// A patient's latest report, if there is one.
pub fn latest(tx: &mut Tx<'_>, patient: &PatientId) -> Result<Option<Report>, StoreError> {
    tx.first(latest_of_a_patient!(), &[patient.as_str().into()], read)
}

/// The report of an id, if there is one.
pub fn find(tx: &mut Tx<'_>, id: ReportId) -> Result<Option<Report>, StoreError> {
    let sql = "SELECT id, patient_id, content, submitted_at FROM reports WHERE id = $1";
    tx.first(sql, &[id.0.number().into()], read)
}

/// What was told of a report when it was submitted.
pub fn kept(tx: &mut Tx<'_>, id: ReportId) -> Result<Option<Kept>, StoreError> {
    let sql = "SELECT submitted_at FROM reports WHERE id = $1";
    tx.first(sql, &[id.0.number().into()], |row| Ok(Kept { id, submitted_at: row.int(0)? }))
}

/// The highest id that is taken, as a number; 0 if there is none.
pub fn highest(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    let highest = tx.first("SELECT coalesce(max(id), 0) FROM reports", &[], |row| row.int(0))?;
    Ok(highest.unwrap_or(0))
}

fn read(row: &Row<'_>) -> Result<Report, StoreError> {
    let unreadable = |Invalid(rule)| StoreError::Statement(format!("a stored report {rule}"));
    let content = String::from_utf8(row.blob(2)?)
        .map_err(|_| StoreError::Statement("a stored report must be UTF-8".to_owned()))?;
    Ok(Report {
        id: ReportId(RowId::from_store(row.int(0)?)),
        patient: row.text(1)?.parse().map_err(unreadable)?,
        content: content.parse().map_err(unreadable)?,
        submitted_at: row.int(3)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::store::{IdempotencyKey, KeyUse, Operation, Purpose, Store};
    use std::time::Duration;
    use tempfile::TempDir;

    fn open() -> (TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.db");
        (folder, Store::open(&file, true, Duration::from_secs(10), &[SCHEMA]).unwrap())
    }

    fn report(number: i64, patient: &str) -> Report {
        Report {
            id: ReportId(RowId::from_store(number)),
            patient: patient.parse().unwrap(),
            content: format!("report \u{0} {number}").parse().unwrap(),
            submitted_at: 7,
        }
    }

    #[tokio::test]
    async fn the_latest_is_that_of_the_highest_id_and_each_is_read_back_as_it_was() {
        let (_folder, store) = open();
        let write = |tx: &mut Tx<'_>| {
            let all = [(3, "a"), (1, "a"), (4, "b"), (2, "a")];
            all.iter().try_for_each(|(number, patient)| insert(tx, &report(*number, patient)))
        };
        store.write(Purpose::of(Operation::Other), write).await.unwrap();
        let read = |tx: &mut Tx<'_>| {
            let latest = |tx: &mut Tx<'_>, patient: &str| latest(tx, &patient.parse().unwrap());
            let found = find(tx, ReportId(RowId::from_store(2)))?;
            Ok((latest(tx, "a")?, latest(tx, "b")?, latest(tx, "c")?, found, highest(tx)?))
        };
        let (a, b, c, found, highest) = store.read("test", read).await.unwrap();
        assert_eq!((a, b, c), (Some(report(3, "a")), Some(report(4, "b")), None));
        assert_eq!((found, highest), (Some(report(2, "a")), 4));
    }

    #[tokio::test]
    async fn the_latest_is_looked_up_in_the_index_and_nothing_is_sorted() {
        let (_folder, store) = open();
        let plan = |tx: &mut Tx<'_>| {
            const EXPLAIN: &str = concat!("EXPLAIN QUERY PLAN ", latest_of_a_patient!());
            tx.query(EXPLAIN, &["p".into()], |row| row.text(3))
        };
        let steps = store.read("plan", plan).await.unwrap();
        assert_eq!(steps, ["SEARCH reports USING INDEX reports_by_patient (patient_id=?)"]);
    }

    #[tokio::test]
    async fn what_fails_in_the_transaction_leaves_neither_report_nor_key() {
        let (_folder, store) = open();
        let key = IdempotencyKey::new("a", "POST", "/r", "k", b"x");
        let kept = key.clone();
        let write = move |tx: &mut Tx<'_>| {
            kept.remember(tx, RowId::from_store(1), 0)?;
            insert(tx, &report(1, "a"))?;
            insert(tx, &report(1, "a"))
        };
        store.write(Purpose::of(Operation::Other), write).await.unwrap_err();
        let read = move |tx: &mut Tx<'_>| Ok((key.find(tx, 1)?, highest(tx)?));
        assert_eq!(store.read("test", read).await.unwrap(), (None::<KeyUse>, 0));
    }
}
