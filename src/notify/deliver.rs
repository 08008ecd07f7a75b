//! What the queue's workers do with a job: find out where it goes, and hand it to the channel's provider.
//!
//! When an attempt is made, retried or given up is the queue's matter.

use super::{
    batch,
    metrics::Metrics,
    model::{Channel, Contact},
    patients::Directory,
    payload::{Payload, Unreadable},
    providers::{Letter, Provider},
};
use crate::platform::queue::{Attempt, Fact, Handler, Job, Outcome, Payloads};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a job of another release waits before it is looked at again.
const OTHER_RELEASE: Duration = Duration::from_secs(600);

/// The providers of both channels.
pub struct Providers {
    pub sms: Provider,
    pub push: Provider,
}

impl Providers {
    pub fn of(&self, channel: Channel) -> &Provider {
        match channel {
            Channel::Sms => &self.sms,
            Channel::Push => &self.push,
        }
    }
}

/// Makes the attempts.
pub struct Deliverer {
    directory: Directory,
    providers: Arc<Providers>,
    metrics: Arc<Metrics>,
}

impl Deliverer {
    pub fn new(directory: Directory, providers: Arc<Providers>, metrics: Arc<Metrics>) -> Self {
        Self { directory, providers, metrics }
    }

    async fn send(&self, job: &Job, channel: Channel, provider: &Provider) -> Outcome {
        let payload = match Payload::decode(&job.payload) {
            Ok(payload) => payload,
            // A newer release wrote it, and this one was rolled back to: that one can still deliver it.
            Err(Unreadable::Version) => {
                return Outcome::Parked { reason: "payload_version", after: Some(OTHER_RELEASE) };
            }
            Err(Unreadable::Damaged) => return Outcome::Dead { reason: "payload_damaged" },
        };
        let contact = match self.contact(&payload, provider).await {
            Ok(contact) => contact,
            Err(outcome) => return outcome,
        };
        let phone = contact.and_then(|contact| contact.phone);
        provider.send(channel, &Letter { id: job.id, payload: &payload, phone: phone.as_ref() }).await
    }

    /// Where the job goes, as of now; `None` if the provider needs no address.
    async fn contact(&self, payload: &Payload, provider: &Provider) -> Result<Option<Contact>, Outcome> {
        if !provider.needs_contact() {
            return Ok(None);
        }
        // Nothing was tried, so it costs no attempt.
        let unavailable = |_| Outcome::Parked { reason: "store_unavailable", after: None };
        let found = self.directory.find(payload.patient()).await.map_err(unavailable)?;
        let reachable = found.filter(|contact| is_reachable(payload, contact));
        reachable.map(Some).ok_or(Outcome::Dead { reason: "no_contact" })
    }
}

/// Whether the patient can still be reached in the way the job was accepted for.
fn is_reachable(payload: &Payload, contact: &Contact) -> bool {
    match payload {
        Payload::Sms { .. } => contact.phone.is_some(),
        Payload::Push { device, .. } => {
            device.as_ref().is_some_and(|device| contact.push_tokens.contains(device))
        }
    }
}

impl Handler for Deliverer {
    async fn attempt(&self, job: &Job) -> Attempt {
        let Some(channel) = Channel::of(job.channel) else {
            let outcome = Outcome::Dead { reason: "unknown_channel" };
            return Attempt { outcome, provider: "none", took: Duration::ZERO };
        };
        let provider = self.providers.of(channel);
        let started = Instant::now();
        let outcome = self.send(job, channel, provider).await;
        Attempt { outcome, provider: provider.name(), took: started.elapsed() }
    }

    fn expand(&self, template: &[u8], members: &[u8]) -> Option<Vec<Payloads>> {
        batch::expand(template, members)
    }

    fn observe(&self, fact: &Fact) {
        self.metrics.observe(fact);
    }
}
