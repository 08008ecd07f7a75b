//! The gateways that messages leave by. What follows from an outcome is the queue's matter.

mod console;
mod guard;
mod http;

pub use http::{BuildError, Http, meaning_of_answer};

use super::{
    config::ProviderConfig,
    model::{Channel, Phone},
    payload::Payload,
};
use crate::platform::queue::{JobId, Outcome};
use guard::Guard;
use std::time::Duration;

/// One message on its way out.
pub struct Letter<'a> {
    /// The idempotency key that the gateway sees: the same in every attempt.
    pub id: JobId,
    pub payload: &'a Payload,
    /// Where an SMS goes; a push knows its device.
    pub phone: Option<&'a Phone>,
}

/// A channel's gateway: a closed set, so that its name can be a label and no call is boxed.
pub enum Provider {
    /// Nothing leaves the machine.
    Console,
    Http(Box<Http>),
}

impl Provider {
    /// `connections`: how many deliveries there may be at once.
    pub fn new(channel: Channel, config: &ProviderConfig, connections: usize) -> Result<Self, BuildError> {
        Ok(match config {
            ProviderConfig::Console => Self::Console,
            ProviderConfig::Http { url, timeout } => {
                let guard = Guard::new(channel.as_str(), *timeout);
                Self::Http(Box::new(Http::new(url.clone(), *timeout, connections, guard)?))
            }
        })
    }

    /// The configured word, which is a label.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Http(_) => "http",
        }
    }

    /// Whether it sends to an address, which then has to be in the directory.
    pub fn needs_contact(&self) -> bool {
        !matches!(self, Self::Console)
    }

    /// Whether an attempt would reach it, as far as is known.
    ///
    /// # Errors
    /// It would not; it is worth another try after this time.
    pub fn ready(&self) -> Result<(), Duration> {
        match self {
            Self::Console => Ok(()),
            Self::Http(http) => http.ready(),
        }
    }

    /// Makes one attempt, in a bounded time.
    pub async fn send(&self, channel: Channel, letter: &Letter<'_>) -> Outcome {
        match self {
            Self::Console => console::send(channel, letter),
            Self::Http(http) => http.send(letter).await,
        }
    }
}
