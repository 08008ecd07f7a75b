//! Studies as the rest of the domain asks about them: who is enrolled, and whom a message reaches.
//! Their SQL is in [`super::store`].

use super::{
    batch,
    model::{Channel, PatientId, StudyId},
    store::{self, Enrolled},
};
use crate::platform::{
    queue::Members,
    store::{Operation, Purpose, Store, StoreError, Tx, WriteError},
    time::now_ms,
};

/// Who takes part in what. Cheap to clone.
#[derive(Clone)]
pub struct Studies {
    store: Store,
}

/// Whom a message to a study reaches, at one moment.
#[derive(Debug, Default)]
pub struct Audience {
    pub members: Members,
    /// Enrolled, and not to be reached on the channel.
    pub skipped: usize,
}

impl Studies {
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Enrols a patient, who need not be in the directory; since when (Unix milliseconds) it is, and whether
    /// that is new.
    pub async fn enrol(&self, study: StudyId, patient: PatientId) -> Result<(i64, bool), WriteError> {
        let (now, purpose) = (now_ms(), Purpose::of(Operation::Other));
        Ok(self.store.write(purpose, move |tx| store::enrol(tx, &study, &patient, now)).await?.value)
    }

    /// Ends an enrolment, and says whether there was one.
    pub async fn withdraw(&self, study: StudyId, patient: PatientId) -> Result<bool, WriteError> {
        let purpose = Purpose::of(Operation::Other);
        Ok(self.store.write(purpose, move |tx| store::withdraw(tx, &study, &patient)).await?.value)
    }

    /// Whom a message on this channel reaches now; `None` if nobody is enrolled. `needs_contact`: whoever
    /// has no address for the channel is left out.
    pub async fn audience(
        &self,
        study: StudyId,
        channel: Channel,
        needs_contact: bool,
    ) -> Result<Option<Audience>, StoreError> {
        let read = move |tx: &mut Tx<'_>| {
            let mut audience = Audience::default();
            store::each_enrolled(tx, &study, |enrolled| audience.add(&enrolled, channel, needs_contact))?;
            Ok(audience)
        };
        // Read beside the committer: it may take a while, and nobody's commit waits for it.
        let audience = self.store.read("read enrolment", read).await?;
        Ok((audience.members.notifications() + audience.skipped > 0).then_some(audience))
    }
}

impl Audience {
    fn add(&mut self, enrolled: &Enrolled, channel: Channel, needs_contact: bool) {
        let Enrolled { patient, has_phone, push_tokens } = enrolled;
        let (reachable, devices) = match channel {
            Channel::Sms => (*has_phone, &[][..]),
            Channel::Push => (!push_tokens.is_empty(), &push_tokens[..]),
        };
        if reachable || !needs_contact {
            self.members.add(&batch::member(patient, devices), devices.len().max(1));
        } else {
            self.skipped += 1;
        }
    }
}
