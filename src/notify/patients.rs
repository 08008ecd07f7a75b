//! The contact directory as the rest of the domain asks it. Its SQL is in [`super::store`].

use super::{
    model::{Contact, PatientId},
    store,
};
use crate::platform::{
    queue::Precondition,
    store::{Operation, Purpose, Store, StoreError, WriteError},
    time::now_ms,
};

/// Who can be reached how. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    store: Store,
}

impl Directory {
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// A patient's contact, if there is one.
    pub async fn find(&self, patient: &PatientId) -> Result<Option<Contact>, StoreError> {
        let patient = patient.clone();
        self.store.look_up("find contact", move |tx| store::find(tx, &patient)).await
    }

    /// Asks in a transaction whether the patient has a phone.
    pub fn has_phone(patient: PatientId) -> Precondition {
        Box::new(move |tx| store::has_phone(tx, &patient))
    }

    /// Makes or replaces a patient's contact, and says whether it is a new one.
    pub async fn put(&self, patient: PatientId, contact: Contact) -> Result<bool, WriteError> {
        let now = now_ms();
        let purpose = Purpose::of(Operation::Other);
        Ok(self.store.write(purpose, move |tx| store::put(tx, &patient, &contact, now)).await?.value)
    }

    /// Forgets a patient, and says whether there was one.
    pub async fn delete(&self, patient: PatientId) -> Result<bool, WriteError> {
        let purpose = Purpose::of(Operation::Other);
        Ok(self.store.write(purpose, move |tx| store::delete(tx, &patient)).await?.value)
    }
}
