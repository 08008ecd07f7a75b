//! Idempotency keys, kept in the transaction of what they created. What a repeat is answered with is its
//! room's matter.

use super::{StoreError, Tx};
use crate::platform::id::RowId;
use sha2::{Digest, Sha256};

/// How long a key is remembered, in milliseconds: 24 hours.
const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1000;

/// A caller's key for one request, already scoped and hashed: neither the key nor the body is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    scope: [u8; 32],
    body: [u8; 32],
}

/// The answer that a repeat of the same request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// For the `Location` header.
    pub location: Option<String>,
}

/// What the store knows of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// Used with the same body, and its answer kept.
    Answered(Answer),
    /// Used with the same body to create this; no answer is kept (yet).
    Created(RowId),
    /// Used with another body.
    Reused,
}

impl IdempotencyKey {
    /// `key` as the caller sent it, scoped to `client`, `method` and `route` (the template).
    pub fn new(client: &str, method: &str, route: &str, key: &str, body: &[u8]) -> Self {
        let mut scope = Sha256::new();
        for part in [client, method, route, key] {
            // Lengths keep ("a", "bc") apart from ("ab", "c").
            scope.update((part.len() as u64).to_be_bytes());
            scope.update(part.as_bytes());
        }
        Self { scope: scope.finalize().into(), body: Sha256::digest(body).into() }
    }

    /// What is known of the key; `None` if it is new. `now` in Unix milliseconds.
    ///
    /// # Errors
    /// The store can't be asked.
    pub fn find(&self, tx: &mut Tx<'_>, now: i64) -> Result<Option<KeyUse>, StoreError> {
        const FIND: &str =
            "SELECT body, job, status, answer, location FROM idempotency WHERE scope = $1 AND expires > $2";
        tx.first(FIND, &[self.scope[..].into(), now.into()], |row| {
            if row.blob(0)? != self.body {
                return Ok(KeyUse::Reused);
            }
            Ok(match (row.optional_int(2)?, row.optional_blob(3)?) {
                (Some(status), Some(body)) => {
                    KeyUse::Answered(Answer { status: status as u16, body, location: row.optional_text(4)? })
                }
                _ => KeyUse::Created(RowId::from_store(row.int(1)?)),
            })
        })
    }

    /// Remembers a key that [`Self::find`] does not know, for what is created. `now` in Unix milliseconds.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn remember(&self, tx: &mut Tx<'_>, created: RowId, now: i64) -> Result<(), StoreError> {
        // An expired key that housekeeping has not reached yet is replaced.
        const INSERT: &str = "INSERT INTO idempotency (scope, body, job, expires) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (scope) DO UPDATE SET body = excluded.body, job = excluded.job, \
             expires = excluded.expires, status = NULL, answer = NULL, location = NULL";
        let expires = now + REMEMBERED_MS;
        let params = [self.scope[..].into(), self.body[..].into(), created.number().into(), expires.into()];
        tx.execute(INSERT, &params)?;
        Ok(())
    }

    /// Keeps the answer for repeats, where it can't be made again from what was created.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn answered(&self, tx: &mut Tx<'_>, answer: &Answer) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE idempotency SET status = $1, answer = $2, location = $3 WHERE scope = $4";
        let location = answer.location.as_deref();
        let status = i64::from(answer.status);
        tx.execute(SQL, &[status.into(), answer.body[..].into(), location.into(), self.scope[..].into()])?;
        Ok(())
    }

    /// Forgets up to `limit` keys whose time is over; how many there were. `now` in Unix milliseconds.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn forget_expired(tx: &mut Tx<'_>, now: i64, limit: usize) -> Result<usize, StoreError> {
        const SQL: &str = "DELETE FROM idempotency WHERE scope IN \
             (SELECT scope FROM idempotency WHERE expires <= $1 ORDER BY expires LIMIT $2)";
        tx.execute(SQL, &[now.into(), (limit as i64).into()])
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{migrate::migrate, schema::SCHEMA},
        *,
    };
    use rusqlite::Connection;

    fn open() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, "test.db", &[SCHEMA]).unwrap();
        connection
    }

    #[test]
    fn a_key_belongs_to_one_client_method_and_route() {
        let key = |client, method, route, key| IdempotencyKey::new(client, method, route, key, b"x").scope;
        let base = key("a", "POST", "/r", "k");
        assert_ne!(base, key("b", "POST", "/r", "k"));
        assert_ne!(base, key("a", "PUT", "/r", "k"));
        assert_ne!(base, key("a", "POST", "/s", "k"));
        assert_ne!(base, key("a", "POST", "/", "rk"));
    }

    #[test]
    fn a_key_is_remembered_for_24_hours_with_what_it_created_and_then_is_new() {
        let connection = open();
        let mut tx = Tx::new(&connection);
        let key = IdempotencyKey::new("a", "POST", "/r", "k", b"x");
        assert_eq!(key.find(&mut tx, 0).unwrap(), None);
        key.remember(&mut tx, RowId::from_store(7), 0).unwrap();
        assert_eq!(
            key.find(&mut tx, REMEMBERED_MS - 1).unwrap(),
            Some(KeyUse::Created(RowId::from_store(7)))
        );
        let other = IdempotencyKey::new("a", "POST", "/r", "k", b"y");
        assert_eq!(other.find(&mut tx, 1).unwrap(), Some(KeyUse::Reused));
        let answer = Answer { status: 201, body: b"{}".to_vec(), location: None };
        key.answered(&mut tx, &answer).unwrap();
        assert_eq!(key.find(&mut tx, 1).unwrap(), Some(KeyUse::Answered(answer)));
        assert_eq!(key.find(&mut tx, REMEMBERED_MS).unwrap(), None);
        // Used anew before housekeeping came by: nothing of the first use is left.
        other.remember(&mut tx, RowId::from_store(8), REMEMBERED_MS).unwrap();
        let again = other.find(&mut tx, REMEMBERED_MS + 1).unwrap();
        assert_eq!(again, Some(KeyUse::Created(RowId::from_store(8))));
        assert_eq!(IdempotencyKey::forget_expired(&mut tx, REMEMBERED_MS + 1, 10).unwrap(), 0);
        assert_eq!(IdempotencyKey::forget_expired(&mut tx, 2 * REMEMBERED_MS, 10).unwrap(), 1);
    }

    #[test]
    fn a_file_whose_keys_the_queue_had_made_keeps_them() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE idempotency (scope BLOB PRIMARY KEY, body BLOB NOT NULL, job INTEGER NOT NULL, \
                 expires INTEGER NOT NULL, status INTEGER, answer BLOB, location TEXT) WITHOUT ROWID; \
                 CREATE INDEX idempotency_expires ON idempotency (expires); \
                 INSERT INTO idempotency (scope, body, job, expires) VALUES (x'00', x'00', 1, 9);",
            )
            .unwrap();
        migrate(&mut connection, "test.db", &[SCHEMA]).unwrap();
        assert_eq!(IdempotencyKey::forget_expired(&mut Tx::new(&connection), 9, 10).unwrap(), 1);
    }
}
