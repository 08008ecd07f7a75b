//! Notifications that go into the transaction of what they tell of: one text, to one patient at a time.

use super::{
    api::producer,
    model::{Channel, Invalid, Message, PatientId, Schedule, Title},
    patients::Directory,
    payload,
};
use crate::platform::{
    queue::{Answer, JobId, Outgoing, Priority, Queue, Status, Submission},
    time::now_ms,
};

/// What is sent, and how it is queued. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    pub(super) queue: Queue,
    pub(super) directory: Directory,
    pub(super) needs_contact: bool,
    pub(super) text: Text,
}

/// One text that fits its channel.
#[derive(Clone, Debug)]
pub struct Text {
    channel: Channel,
    title: Option<Title>,
    message: Message,
}

/// Why nothing was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unqueued {
    NoContact,
    BacklogFull,
    /// The directory could not be asked.
    StoreUnavailable,
}

impl Text {
    /// An SMS of this message.
    ///
    /// # Errors
    /// It is too long, or empty.
    pub fn sms(message: &str) -> Result<Self, Invalid> {
        Ok(Self { channel: Channel::Sms, title: None, message: message.parse()? })
    }

    /// A push notification of this head and message.
    ///
    /// # Errors
    /// One of them is too long, or empty.
    pub fn push(title: &str, message: &str) -> Result<Self, Invalid> {
        Ok(Self { channel: Channel::Push, title: Some(title.parse()?), message: message.parse()? })
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel
    }
}

impl Outbox {
    /// Takes the backlog's room for a notification to this patient. That an SMS has a phone to go to is asked
    /// in the transaction; what a push is for has to be known before.
    ///
    /// # Errors
    /// See [`Unqueued`].
    pub async fn reserve(&self, patient: &str) -> Result<Outgoing, Unqueued> {
        let Text { channel, title, message } = self.text.clone();
        let patient: PatientId = patient.parse().map_err(|_: Invalid| Unqueued::NoContact)?;
        let (contact, precondition) = match channel {
            Channel::Push => {
                let found = self.directory.find(&patient).await;
                (found.map_err(|_| Unqueued::StoreUnavailable)?, None)
            }
            Channel::Sms => (None, self.needs_contact.then(|| Directory::has_phone(patient.clone()))),
        };
        let payloads = payload::of(patient, title, message, contact, self.needs_contact);
        if payloads.is_empty() {
            return Err(Unqueued::NoContact);
        }
        let id = self.queue.allocate(payloads.len());
        let submission = Submission {
            id,
            channel: channel.as_str(),
            priority: Priority::Normal,
            send_at: None,
            not_after: Schedule::at_once(now_ms()).not_after,
            payloads,
            idempotency: None,
            precondition,
            answer: unanswered,
        };
        self.queue.reserve(submission, producer(id)).map_err(|_| Unqueued::BacklogFull)
    }
}

/// Nobody waits for it, and it has no key that an answer would be kept under.
fn unanswered(_id: JobId, _statuses: &[Status]) -> Answer {
    Answer { status: 204, body: Vec::new(), location: None }
}
