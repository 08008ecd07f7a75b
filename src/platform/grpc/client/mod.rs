//! The resilient client, for any generated client: which endpoints there are, which one takes a call, and
//! what is done about one that fails. What is called is the domain's.

mod attempt;
mod balance;
mod call;
mod channel;
mod connect;
mod discovery;
mod error;
mod flight;
mod key;
mod load;
mod method;
mod metrics;
mod outcome;
mod probe;
mod roster;
mod target;

pub use call::{Call, CallError, Client};
pub use channel::{Channel, OpenError};
pub use connect::ClientTls;
pub use error::{ChannelError, Unanswered};
pub use key::read_key_file;
pub use target::{Target, is_address};

use secrecy::SecretString;
use std::time::Duration;

/// What a client calls, and how.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// What metrics, spans and lines call the other side.
    pub name: &'static str,
    pub target: Target,
    /// Presented as `authorization: Bearer`.
    pub api_key: Option<SecretString>,
    /// For a call with all its attempts, where the caller has no shorter one.
    pub deadline: Duration,
}

impl ClientConfig {
    /// From when on an attempt counts as slow, and so as failed, for the breaker: a quarter of the deadline,
    /// so that a side that hangs is known before the first calls to it have run out.
    pub fn slow(&self) -> Duration {
        self.deadline / 4
    }
}
