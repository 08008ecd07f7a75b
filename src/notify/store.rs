//! The contact directory's SQL, and the domain's tables. It runs in whatever transaction it is given, on either database.

mod studies;

pub use studies::{Enrolled, each_enrolled, enrol, withdraw};

use super::model::{Contact, Locale, PatientId, Phone, Platform, PushToken, TimeZone};
use crate::platform::store::{Migration, Row, Schema, StoreError, Tx};

/// The domain's tables. Types are those that SQLite and PostgreSQL both take.
pub const SCHEMA: Schema = Schema { component: "notify", steps: &[PATIENTS, studies::ENROLMENTS] };

const PATIENTS: Migration = Migration {
    version: 1,
    min_reader: 1,
    sql: "CREATE TABLE patients (
                  id TEXT PRIMARY KEY NOT NULL,
                  phone TEXT,
                  push_tokens TEXT NOT NULL,
                  time_zone TEXT,
                  locale TEXT,
                  changed_at BIGINT NOT NULL
              )",
};

/// A patient's contact, if there is one.
pub fn find(tx: &mut Tx<'_>, patient: &PatientId) -> Result<Option<Contact>, StoreError> {
    let sql = "SELECT phone, push_tokens, time_zone, locale FROM patients WHERE id = $1";
    tx.first(sql, &[patient.as_str().into()], read)
}

/// Whether there is a phone to send to.
pub fn has_phone(tx: &mut Tx<'_>, patient: &PatientId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM patients WHERE id = $1 AND phone IS NOT NULL";
    Ok(tx.first(sql, &[patient.as_str().into()], |row| row.int(0))?.is_some())
}

/// Makes or replaces a patient's contact, and says whether it is a new one. `now` in Unix milliseconds.
pub fn put(tx: &mut Tx<'_>, patient: &PatientId, contact: &Contact, now: i64) -> Result<bool, StoreError> {
    let id = patient.as_str();
    let found = tx.first("SELECT 1 FROM patients WHERE id = $1", &[id.into()], |row| row.int(0))?;
    let sql = "INSERT INTO patients (id, phone, push_tokens, time_zone, locale, changed_at)
               VALUES ($1, $2, $3, $4, $5, $6)
               ON CONFLICT (id) DO UPDATE SET phone = excluded.phone, push_tokens = excluded.push_tokens,
                   time_zone = excluded.time_zone, locale = excluded.locale, changed_at = excluded.changed_at";
    let tokens = write_tokens(&contact.push_tokens);
    let params = [
        id.into(),
        contact.phone.as_ref().map(Phone::as_str).into(),
        tokens.as_str().into(),
        contact.time_zone.as_ref().map(TimeZone::as_str).into(),
        contact.locale.as_ref().map(Locale::as_str).into(),
        now.into(),
    ];
    tx.execute(sql, &params)?;
    Ok(found.is_none())
}

/// Forgets a patient, and says whether there was one.
pub fn delete(tx: &mut Tx<'_>, patient: &PatientId) -> Result<bool, StoreError> {
    Ok(tx.execute("DELETE FROM patients WHERE id = $1", &[patient.as_str().into()])? > 0)
}

fn read(row: &Row<'_>) -> Result<Contact, StoreError> {
    Ok(Contact {
        phone: row.optional_text(0)?.map(Phone::from_store),
        push_tokens: read_tokens(&row.text(1)?)?,
        time_zone: row.optional_text(2)?.map(TimeZone::from_store),
        locale: row.optional_text(3)?.map(Locale::from_store),
    })
}

/// One `platform token` a line: neither holds a blank or a line's end.
fn write_tokens(tokens: &[PushToken]) -> String {
    let lines = tokens.iter().map(|token| format!("{} {}", token.platform().as_str(), token.token()));
    lines.collect::<Vec<_>>().join("\n")
}

fn read_tokens(text: &str) -> Result<Vec<PushToken>, StoreError> {
    let read = |line: &str| {
        let (platform, token) = line.split_once(' ')?;
        PushToken::new(platform.parse::<Platform>().ok()?, token).ok()
    };
    let tokens: Option<Vec<_>> = text.lines().map(read).collect();
    tokens.ok_or_else(|| StoreError::Statement("a push token that cannot be read".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tokens_are_read_back(texts in proptest::collection::vec("[!-~]{1,40}", 0..5)) {
            let tokens: Vec<_> = texts.iter().map(|text| PushToken::new(Platform::Web, text).unwrap()).collect();
            prop_assert_eq!(read_tokens(&write_tokens(&tokens)).unwrap(), tokens);
        }
    }
}
