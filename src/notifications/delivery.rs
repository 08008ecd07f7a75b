//! The queue's worker: finds out where a job goes, and hands it to the channel's gateway. When an attempt is made,
//! repeated or given up is decided by the queue.

use super::{
    gateway::{Envelope, Gateway},
    metrics,
    model::{Channel, Contact, Device, Message, Title},
    patients,
    view::{Status, outcome_word},
};
use crate::{config::Config, lookup::Lookup, model::PatientId};
use chassis_queue::{Attempt, Fact, Names, Outcome, Report, Store, Worker};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// The queue's words in spans, lines and metrics.
pub const NAMES: Names = Names {
    system: "epro-notify",
    destination: "notifications",
    ledger_metric: "notification_ledger_jobs",
    state: |state| Status::from(state).as_str(),
    outcome: outcome_word,
};

/// What a job keeps of a notification. The phone is looked up at delivery, so that nothing is sent to a patient who was
/// deleted; the device says which of the patient's devices the job is for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    pub patient_id: PatientId,
    /// For push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Title>,
    pub message: Message,
    /// For push, unless the gateway needs no address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
}

/// The worker of all channels.
pub struct Deliver {
    store: Store,
    contacts: Lookup<Contact>,
    sms: Gateway,
    push: Gateway,
    facts: metrics::Facts,
}

impl Deliver {
    /// # Errors
    /// A gateway's client cannot be made.
    pub fn new(
        config: &Config,
        store: Store,
        contacts: Lookup<Contact>,
    ) -> Result<Self, super::gateway::BuildError> {
        // Callers who wait have as many attempts of their own beside the workers'.
        let connections = 2 * config.queue.workers;
        // The rest is for the commits around the attempt.
        let caller_waits = config.http.server.handler_timeout.mul_f64(0.9);
        let sms = Gateway::new(Channel::Sms, &config.sms, connections, caller_waits)?;
        let push = Gateway::new(Channel::Push, &config.push, connections, caller_waits)?;
        metrics::provider(Channel::Sms, sms.provider());
        metrics::provider(Channel::Push, push.provider());
        Ok(Self { store, contacts, sms, push, facts: metrics::Facts::default() })
    }

    pub fn contacts(&self) -> &Lookup<Contact> {
        &self.contacts
    }

    pub fn gateway(&self, channel: Channel) -> &Gateway {
        match channel {
            Channel::Sms => &self.sms,
            Channel::Push => &self.push,
        }
    }

    async fn deliver(&self, job: &Delivery, channel: Channel, attempt: &Attempt) -> Outcome {
        let Gateway::Http(gateway) = self.gateway(channel) else {
            // Provider `console`: the attempt's own line is all that comes of it.
            return Outcome::Completed { receipt: None };
        };
        let contact = match self.contacts.of(&job.patient_id).await {
            Ok(contact) => contact.unwrap_or_default(),
            // Nothing was tried, so it costs no attempt.
            Err(_) => return Outcome::Snooze { reason: "store_unavailable", after: None },
        };
        let Some(envelope) = envelope(job, channel, &contact, attempt) else {
            return Outcome::Failed { reason: "no_contact" };
        };
        let outcome = gateway.send(&envelope, attempt).await;
        if outcome == (Outcome::Failed { reason: "token_gone" })
            && let Some(device) = &job.device
            && patients::forget_device(&self.store, &job.patient_id, device).await.is_err()
        {
            tracing::warn!(job_id = %attempt.id, "a push token that is gone could not be removed from the directory");
        }
        outcome
    }
}

/// The message and its address, if the patient can still be reached in the way that the job was accepted for.
fn envelope<'a>(
    job: &'a Delivery,
    channel: Channel,
    contact: &'a Contact,
    attempt: &Attempt,
) -> Option<Envelope<'a>> {
    let (id, text) = (attempt.id, &job.message);
    match channel {
        Channel::Sms => contact.phone.as_ref().map(|to| Envelope::Sms { id, to, text }),
        Channel::Push => {
            let (device, title) = (job.device.as_ref()?, job.title.as_ref()?);
            let known = contact.push_tokens.contains(device);
            let Device { platform, token } = device;
            known.then_some(Envelope::Push { id, platform: *platform, token, title, text })
        }
    }
}

impl Worker for Deliver {
    type Job = Delivery;

    async fn run(&self, job: &Delivery, attempt: &Attempt) -> Report {
        let channel = Channel::of(attempt.channel);
        let started = Instant::now();
        let outcome = self.deliver(job, channel, attempt).await;
        Report { outcome, provider: self.gateway(channel).provider(), took: started.elapsed() }
    }

    fn paused(&self, channel: &'static str) -> bool {
        self.gateway(Channel::of(channel)).paused()
    }

    fn observe(&self, fact: &Fact) {
        self.facts.observe(fact);
    }
}
