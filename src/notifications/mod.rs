//! Notifications to patients by SMS and push.
//!
//! The way of one: a handler in [`api`] makes a [`Delivery`] and enqueues it; the queue (`chassis-queue`) commits it and
//! hands it to [`Deliver`] in `delivery`, which looks up the contact and calls the channel's `gateway`.

pub mod api;
pub mod dead_letters;
mod delivery;
pub mod gateway;
mod metrics;
pub mod model;
pub mod patients;
pub mod studies;
mod view;

pub use delivery::{Deliver, Delivery, NAMES};
pub use metrics::METRICS;
use model::Contact;
pub use model::{Channel, Message, Schedule, Title};

use crate::{error::ApiError, lookup::Lookup, model::PatientId};
use chassis_queue::{Component, JobId};
use chassis_resilience::{Degradation, Feature};

/// The durable queue of deliveries.
pub type Queue = chassis_queue::Queue<Deliver>;

/// Notifications of priority `bulk` can wait for their sender as well.
pub const BULK: Feature = Feature { name: "bulk_notifications", level: 2 };

/// The tables of contacts and enrolment.
pub const SCHEMA: Component =
    Component { name: "notifications", steps: &[patients::TABLES, studies::TABLE], ids: &[] };

/// The queue's precondition, which [`Notifications::address`] uses.
pub const GUARD: &str = "EXISTS (SELECT 1 FROM patients WHERE id = {subject} AND has_phone = 1)";

/// What the handlers work with.
pub struct Notifications {
    pub queue: Queue,
    pub degradation: Degradation,
}

/// The jobs of a message to one patient.
pub struct Addressed {
    pub id: JobId,
    pub jobs: Vec<Delivery>,
    /// Who has to have a phone when they are committed.
    pub guard: Option<String>,
}

impl Notifications {
    fn contacts(&self) -> &Lookup<Contact> {
        self.queue.worker().contacts()
    }

    /// Makes the jobs of a message: one for an SMS, one for each device for a push. The directory is read only where its
    /// answer changes the jobs: that an SMS has a phone to go to is checked in the commit.
    ///
    /// # Errors
    /// The patient has no device, or the store cannot be read.
    pub async fn address(
        &self,
        channel: Channel,
        patient_id: &PatientId,
        title: Option<Title>,
        message: Message,
    ) -> Result<Addressed, ApiError> {
        let needs_contact = self.queue.worker().gateway(channel).needs_contact();
        let delivery = Delivery { patient_id: patient_id.clone(), title, message, device: None };
        let (jobs, guard) = match channel {
            Channel::Sms => (vec![delivery], needs_contact.then(|| patient_id.as_str().to_owned())),
            Channel::Push => {
                let contact = self.contacts().of(patient_id).await?.unwrap_or_default();
                let devices = contact.push_tokens.into_iter();
                let mut jobs: Vec<_> =
                    devices.map(|device| Delivery { device: Some(device), ..delivery.clone() }).collect();
                if jobs.is_empty() && !needs_contact {
                    jobs.push(delivery);
                }
                (jobs, None)
            }
        };
        if jobs.is_empty() {
            return Err(ApiError::NoContact(channel));
        }
        Ok(Addressed { id: self.queue.new_id(jobs.len()), jobs, guard })
    }
}
