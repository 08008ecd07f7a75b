//! The gateways that messages leave by. A fork adds a provider as a variant of [`Gateway`].

pub mod answer;
mod http;

pub use answer::meaning as meaning_of_answer;
pub use http::{BuildError, HttpGateway};

use super::model::{Channel, Message, Phone, Platform, Title, Token};
use crate::config::{ChannelConfig, ProviderName};
use chassis_queue::JobId;
use serde::Serialize;
use std::time::Duration;

/// The body of the request to a gateway. The id is the idempotency key, the same in every attempt.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Envelope<'a> {
    Sms { id: JobId, to: &'a Phone, text: &'a Message },
    Push { id: JobId, platform: Platform, token: &'a Token, title: &'a Title, text: &'a Message },
}

/// A channel's gateway: a closed set, so that its name can be a metric label.
pub enum Gateway {
    /// For development: nothing leaves the machine.
    Console,
    Http(Box<HttpGateway>),
}

impl Gateway {
    /// See [`HttpGateway::new`].
    ///
    /// # Errors
    /// The HTTP client or its credentials cannot be loaded.
    pub fn new(
        channel: Channel,
        config: &ChannelConfig,
        connections: usize,
        caller_waits: Duration,
    ) -> Result<Self, BuildError> {
        Ok(match config.provider {
            ProviderName::Console => Self::Console,
            ProviderName::Http => {
                Self::Http(Box::new(HttpGateway::new(channel, &config.http, connections, caller_waits)?))
            }
        })
    }

    /// The configured word, which is a metric label.
    pub fn provider(&self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Http(_) => "http",
        }
    }

    /// Whether it sends to an address of the contact directory.
    pub fn needs_contact(&self) -> bool {
        !matches!(self, Self::Console)
    }

    /// Asks the breaker and our own rate limit before a caller waits for `messages` of them.
    ///
    /// # Errors
    /// They would not be sent now; the time after which another try is worth it.
    pub fn ready(&self, messages: usize) -> Result<(), Duration> {
        match self {
            Self::Console => Ok(()),
            Self::Http(gateway) => gateway.ready(messages),
        }
    }

    /// Whether the breaker would refuse every message now: what waits stays in the queue.
    pub fn paused(&self) -> bool {
        matches!(self, Self::Http(gateway) if gateway.paused())
    }
}
