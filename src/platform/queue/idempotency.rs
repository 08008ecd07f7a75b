//! Idempotency keys, kept in the transaction of what they created.

use super::{
    AnswerOf, JobId, Queue, Refused, Status, Submitted,
    sql::read,
    submit::{Written, refused_by},
};
use crate::platform::{
    store::{Operation, Purpose, StoreError, Tx},
    time::now_ms,
};
use sha2::{Digest, Sha256};

/// How long a key is remembered, in milliseconds: 24 hours.
pub(super) const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1000;

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
#[derive(Debug)]
pub(super) enum Claim {
    /// Used with the same body, and its answer kept.
    Answered(Answer),
    /// Used with the same body; no answer is kept (yet).
    Open(JobId),
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

    /// What is known of the key; `None` if it is new.
    pub(super) fn find(&self, tx: &mut Tx<'_>, now: i64) -> Result<Option<Claim>, StoreError> {
        const FIND: &str =
            "SELECT body, job, status, answer, location FROM idempotency WHERE scope = $1 AND expires > $2";
        tx.first(FIND, &[self.scope[..].into(), now.into()], |row| {
            if row.blob(0)? != self.body {
                return Ok(Claim::Reused);
            }
            Ok(match (row.optional_int(2)?, row.optional_blob(3)?) {
                (Some(status), Some(body)) => {
                    Claim::Answered(Answer { status: status as u16, body, location: row.optional_text(4)? })
                }
                _ => Claim::Open(JobId(row.int(1)?)),
            })
        })
    }

    /// What a submission with this key comes to before it is looked at: `None` if the key is new. `answer` makes
    /// the answer of a call whose own was not kept; without it such a call is in flight.
    pub(super) fn judge(
        &self,
        tx: &mut Tx<'_>,
        answer: Option<AnswerOf>,
    ) -> Result<Option<Written>, StoreError> {
        Ok(match self.find(tx, now_ms())? {
            None => None,
            Some(Claim::Answered(answer)) => Some(Written::Answered(answer)),
            Some(Claim::Reused) => Some(Written::Reused),
            Some(Claim::Open(id)) => Some(open(tx, id, answer)?),
        })
    }

    /// Remembers a key that [`Self::find`] does not know, for `id`.
    pub(super) fn remember(&self, tx: &mut Tx<'_>, id: JobId, now: i64) -> Result<(), StoreError> {
        // An expired key that housekeeping has not reached yet is replaced.
        const INSERT: &str =
            "INSERT OR REPLACE INTO idempotency (scope, body, job, expires) VALUES ($1, $2, $3, $4)";
        let expires = now + REMEMBERED_MS;
        tx.execute(INSERT, &[self.scope[..].into(), self.body[..].into(), id.0.into(), expires.into()])?;
        Ok(())
    }

    /// Keeps the answer for repeats.
    pub(super) fn answered(&self, tx: &mut Tx<'_>, answer: &Answer) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE idempotency SET status = $1, answer = $2, location = $3 WHERE scope = $4";
        let location = answer.location.as_deref();
        let status = i64::from(answer.status);
        tx.execute(SQL, &[status.into(), answer.body[..].into(), location.into(), self.scope[..].into()])?;
        Ok(())
    }
}

/// A key whose answer is not kept: its call is still in flight, or a crash ended it.
fn open(tx: &mut Tx<'_>, id: JobId, answer: Option<AnswerOf>) -> Result<Written, StoreError> {
    let statuses = read::statuses(tx, id)?;
    Ok(match answer {
        Some(answer) if !statuses.contains(&Status::Sending) => Written::Answered(answer(id, &statuses)),
        _ => Written::InFlight,
    })
}

impl Queue {
    /// What a repeat of the key's first use gets, if there was one: for a repeat that can't be submitted again,
    /// since what it depended on has changed. Waits for a first use that is being committed. `answer` is the
    /// submission's own, if it has one.
    ///
    /// # Errors
    /// The key was used with another body, or the store can't be asked.
    pub async fn repeated(
        &self,
        key: IdempotencyKey,
        answer: Option<AnswerOf>,
    ) -> Result<Option<Submitted>, Refused> {
        // Asked in the committer, behind whatever is on its way there; nothing is written, and nothing synced.
        let purpose = Purpose { operation: Operation::Other, rows: 0, trace: None };
        let found = self.inner.store.write(purpose, move |tx: &mut Tx<'_>| key.judge(tx, answer)).await;
        found.map_err(refused_by)?.value.map(Written::told).transpose()
    }

    /// As [`Self::repeated`] for a submission that was `refused`, which it stays if it is no repeat.
    pub(super) async fn repeated_or(
        &self,
        key: Option<IdempotencyKey>,
        answer: Option<AnswerOf>,
        refused: Refused,
    ) -> Result<Submitted, Refused> {
        match key {
            Some(key) => self.repeated(key, answer).await?.ok_or(refused),
            None => Err(refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_belongs_to_one_client_method_and_route() {
        let key = |client, method, route, key| IdempotencyKey::new(client, method, route, key, b"x").scope;
        let base = key("a", "POST", "/r", "k");
        assert_ne!(base, key("b", "POST", "/r", "k"));
        assert_ne!(base, key("a", "PUT", "/r", "k"));
        assert_ne!(base, key("a", "POST", "/s", "k"));
        assert_ne!(base, key("a", "POST", "/", "rk"));
    }
}
