//! Settings of the shutdown.

use crate::platform::config::Reader;
use std::time::Duration;

/// The shutdown's settings.
#[derive(Clone, Copy, Debug)]
pub struct ShutdownConfig {
    /// How long `/readyz` says no before the listeners close.
    pub not_ready_for: Duration,
    /// How long everything after that may take.
    pub drain_deadline: Duration,
}

impl ShutdownConfig {
    /// Reads `shutdown.*`.
    pub fn read(reader: &mut Reader) -> Self {
        Self {
            not_ready_for: reader.value_in(
                "shutdown.not_ready_for",
                "0s",
                "0s"..="10m",
                "how long it is not ready before the listeners close, so that balancers notice",
            ),
            drain_deadline: reader.value_in(
                "shutdown.drain_deadline",
                "20s",
                "100ms"..="1h",
                "how long requests and deliveries in hand may then take to end",
            ),
        }
    }
}
