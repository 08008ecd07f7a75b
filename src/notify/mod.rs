//! The sample domain: notifications to patients by SMS and push.
//!
//! A fork deletes this room. What it stands on (HTTP, queue, store, telemetry) is the platform's; here
//! stands what a notification is ([`model`]), who may be written to, and by which gateway.

mod api;
mod batch;
pub mod config;
mod deliver;
mod metrics;
pub mod model;
mod outbox;
mod patients;
mod payload;
mod providers;
mod store;
mod studies;

pub use api::openapi;
pub use deliver::Deliverer;
pub use outbox::{Outbox, Text, Unqueued};
pub use providers::BuildError;
#[doc(hidden)] // For the fuzz target alone.
pub use providers::meaning_of_answer;
pub use store::SCHEMA;

use crate::platform::{
    http::{Listed, Routes},
    queue::Queue,
    resilience::{Degradation, Feature},
    store::Store,
};
use api::Api;
use config::NotifyConfig;
use deliver::Providers;
use metrics::Metrics;
use model::Channel;
use patients::Directory;
use providers::Provider;
use std::sync::Arc;
use studies::Studies;

/// The labels under which the queue knows the channels.
pub const CHANNELS: &[&str] = &[Channel::Sms.as_str(), Channel::Push.as_str()];

/// Notifications of priority `bulk`: they can wait for their sender as well.
pub const BULK: Feature = Feature { name: "bulk_notifications", level: 2 };

/// What [`Notify::routes`] serves, without a domain that could.
pub fn listed() -> Vec<Listed> {
    api::routes().list()
}

/// The domain, ready to be put between queue and HTTP.
pub struct Notify {
    directory: Directory,
    studies: Studies,
    providers: Arc<Providers>,
    metrics: Arc<Metrics>,
}

impl Notify {
    /// `workers`: deliveries in flight at once. Metrics have to be recorded by now, and the store to have
    /// [`SCHEMA`].
    ///
    /// # Errors
    /// A gateway's client can't be made.
    pub fn new(config: &NotifyConfig, store: Store, workers: usize) -> Result<Self, BuildError> {
        // Callers who wait have as many attempts of their own beside the workers'.
        let connections = 2 * workers;
        let sms = Provider::new(Channel::Sms, &config.sms.provider, connections)?;
        let push = Provider::new(Channel::Push, &config.push.provider, connections)?;
        let metrics = Metrics::new(&[(Channel::Sms, sms.name()), (Channel::Push, push.name())]);
        Ok(Self {
            directory: Directory::new(store.clone()),
            studies: Studies::new(store),
            providers: Arc::new(Providers { sms, push }),
            metrics: Arc::new(metrics),
        })
    }

    /// What the queue's workers call.
    pub fn deliverer(&self) -> Arc<Deliverer> {
        let metrics = Arc::clone(&self.metrics);
        Arc::new(Deliverer::new(self.directory.clone(), Arc::clone(&self.providers), metrics))
    }

    /// What puts this text, for one patient or another, into somebody else's transaction.
    pub fn outbox(&self, queue: Queue, text: Text) -> Outbox {
        let needs_contact = self.providers.of(text.channel()).needs_contact();
        Outbox { queue, directory: self.directory.clone(), needs_contact, text }
    }

    /// What HTTP serves, over the queue that was opened with [`Self::deliverer`].
    pub fn routes(&self, queue: Queue, degradation: Degradation) -> Routes {
        let (providers, metrics) = (Arc::clone(&self.providers), Arc::clone(&self.metrics));
        let (directory, studies) = (self.directory.clone(), self.studies.clone());
        let api = Api { queue, directory, studies, providers, metrics, degradation };
        api::routes().with_state(Arc::new(api))
    }
}
