//! The SQL of enrolment: who takes part in which study, with what the directory knows of them.

use super::read_tokens;
use crate::{
    notify::model::{PatientId, PushToken, StudyId},
    platform::store::{Migration, StoreError, Tx},
};

/// A release that does not know the table goes on with the rest.
pub(super) const ENROLMENTS: Migration = Migration {
    version: 2,
    min_reader: 1,
    sql: "CREATE TABLE enrolments (
              study TEXT NOT NULL,
              patient TEXT NOT NULL,
              enrolled_at BIGINT NOT NULL,
              PRIMARY KEY (study, patient)
          )",
};

/// Enrols a patient; since when (Unix milliseconds) it is, and whether that is new.
pub fn enrol(
    tx: &mut Tx<'_>,
    study: &StudyId,
    patient: &PatientId,
    now: i64,
) -> Result<(i64, bool), StoreError> {
    const FIND: &str = "SELECT enrolled_at FROM enrolments WHERE study = $1 AND patient = $2";
    const INSERT: &str = "INSERT INTO enrolments (study, patient, enrolled_at) VALUES ($1, $2, $3)";
    let (study, patient) = (study.as_str().into(), patient.as_str().into());
    if let Some(since) = tx.first(FIND, &[study, patient], |row| row.int(0))? {
        return Ok((since, false));
    }
    tx.execute(INSERT, &[study, patient, now.into()])?;
    Ok((now, true))
}

/// Ends an enrolment, and says whether there was one.
pub fn withdraw(tx: &mut Tx<'_>, study: &StudyId, patient: &PatientId) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM enrolments WHERE study = $1 AND patient = $2";
    Ok(tx.execute(SQL, &[study.as_str().into(), patient.as_str().into()])? > 0)
}

/// A patient of a study, and how the directory says that it can be reached.
pub struct Enrolled {
    pub patient: String,
    pub has_phone: bool,
    pub push_tokens: Vec<PushToken>,
}

/// Gives every patient of a study to `each`, in the order of their identifiers.
pub fn each_enrolled(
    tx: &mut Tx<'_>,
    study: &StudyId,
    mut each: impl FnMut(Enrolled),
) -> Result<(), StoreError> {
    const SQL: &str = "SELECT e.patient, p.phone IS NOT NULL, coalesce(p.push_tokens, '') FROM enrolments e \
         LEFT JOIN patients p ON p.id = e.patient WHERE e.study = $1 ORDER BY e.patient";
    // Nothing is collected: the rows' own values have no size.
    tx.query(SQL, &[study.as_str().into()], |row| {
        let push_tokens = read_tokens(&row.text(2)?)?;
        each(Enrolled { patient: row.text(0)?, has_phone: row.int(1)? == 1, push_tokens });
        Ok(())
    })?;
    Ok(())
}
