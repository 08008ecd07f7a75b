//! What a submission's idempotency key comes to: new, answered before, or used for something else. How keys
//! are kept is the store's matter.

use super::{
    AnswerOf, IdempotencyKey, JobId, Queue, Refused, Status, Submitted,
    sql::read,
    submit::{Written, refused_by},
};
use crate::platform::{
    store::{KeyUse, Operation, Purpose, StoreError, Tx},
    time::now_ms,
};

/// What a submission with this key comes to before it is looked at: `None` if the key is new. `answer` makes
/// the answer of a call whose own was not kept; without it such a call is in flight.
pub(super) fn judge(
    key: &IdempotencyKey,
    tx: &mut Tx<'_>,
    answer: Option<AnswerOf>,
) -> Result<Option<Written>, StoreError> {
    Ok(match key.find(tx, now_ms())? {
        None => None,
        Some(KeyUse::Answered(answer)) => Some(Written::Answered(answer)),
        Some(KeyUse::Reused) => Some(Written::Reused),
        Some(KeyUse::Created(id)) => Some(open(tx, id, answer)?),
    })
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
        let found = self.inner.store.write(purpose, move |tx: &mut Tx<'_>| judge(&key, tx, answer)).await;
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
