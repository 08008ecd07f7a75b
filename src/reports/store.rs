//! The reports' table and its SQL, the same on SQLite and PostgreSQL.

use super::model::{Content, NewReport, Report};
use crate::{
    lookup::{Found, Look, Lookup},
    model::Moment,
};
use chassis_queue::{Component, JobId, Migration, Statement, Store, StoreError, Value};
use data_encoding::HEXLOWER_PERMISSIVE;

/// Content is bytes, because PostgreSQL's TEXT refuses U+0000. Ids rise with time, so a patient's latest report is the
/// last of its entries in the index.
pub const SCHEMA: Component = Component {
    name: "reports",
    ids: &["reports"],
    steps: &[Migration {
        min_reader: 1,
        sql: "
            CREATE TABLE reports (
                id BIGINT PRIMARY KEY NOT NULL,
                patient_id TEXT NOT NULL,
                content {bytes} NOT NULL,
                submitted_at BIGINT NOT NULL -- Unix milliseconds
            );
            CREATE INDEX reports_by_patient ON reports (patient_id, id);
        ",
    }],
};

const INSERT: &str = "INSERT INTO reports (id, patient_id, content, submitted_at) VALUES ($1, $2, $3, $4)";
const FIND: &str = "SELECT id, content, submitted_at FROM reports WHERE id = $1";
const LATEST_SQLITE: &str = "SELECT json_group_array(json_array(patient_id, id, hex(content), submitted_at))
    FROM reports WHERE id IN (SELECT (SELECT max(id) FROM reports WHERE patient_id = asked.value)
    FROM json_each($1) AS asked)";
const LATEST_POSTGRES: &str = "SELECT coalesce(CAST(json_agg(
        json_build_array(patient_id, id, encode(content, 'hex'), submitted_at)) AS TEXT), '[]')
    FROM reports WHERE id IN (SELECT (SELECT max(id) FROM reports WHERE patient_id = asked.value)
    FROM json_array_elements_text(CAST($1 AS json)) AS asked (value))";

type Row = (i64, Vec<u8>, i64);

/// Stores a report, in the transaction that it is made part of.
pub fn insert(id: JobId, report: &NewReport, submitted_at: Moment) -> Statement {
    let values = vec![
        Value::Int(id.number()),
        Value::Text(report.patient_id.as_str().to_owned()),
        Value::Bytes(report.content.as_str().as_bytes().to_vec()),
        Value::Int(submitted_at.unix_ms()),
    ];
    Statement { sql: INSERT, values }
}

/// Looks up latest reports, and what answers.
pub fn latest(store: Store) -> (Lookup<Report>, impl Future<Output = ()> + Send) {
    let sql = [LATEST_SQLITE, LATEST_POSTGRES];
    Lookup::new(store, Look { name: "find latest report", sql, read: read_latest })
}

fn read_latest(rows: &str) -> Found<Report> {
    let rows: Vec<(String, i64, String, i64)> = serde_json::from_str(rows).map_err(|_| damaged())?;
    let by_patient = |(patient, id, content, submitted_at): (_, _, String, _)| {
        let content = HEXLOWER_PERMISSIVE.decode(content.as_bytes()).map_err(|_| damaged())?;
        Ok((patient, report((id, content, submitted_at))?))
    };
    rows.into_iter().map(by_patient).collect()
}

/// The report with this id.
///
/// # Errors
/// The store can't be read.
pub async fn find(store: &Store, id: JobId) -> Result<Option<Report>, StoreError> {
    let mut reader = store.read("find report").await?;
    let row: Option<Row> = sqlx::query_as(FIND).bind(id.number()).fetch_optional(&mut *reader).await?;
    row.map(report).transpose()
}

fn report((id, content, submitted_at): Row) -> Result<Report, StoreError> {
    let content = String::from_utf8(content).map_err(|_| damaged())?;
    Ok(Report {
        report_id: JobId::from_number(id).to_string(),
        content: Content::new(content),
        submitted_at: Moment::from_unix_ms(submitted_at),
    })
}

fn damaged() -> StoreError {
    StoreError::Statement("a stored report cannot be read".to_owned())
}
