//! Settings of degradation: from when on there is too much of something.

use crate::platform::config::Reader;
use std::time::Duration;

/// The thresholds.
#[derive(Clone, Debug)]
pub struct DegradationConfig {
    /// How long what is due may wait in the queue for its first attempt.
    pub queue_age: Duration,
    /// A watched call that takes longer is slow.
    pub latency: Duration,
    /// How many of a hundred watched calls may be slow.
    pub slow_percent: u32,
    /// Requests in hand at once, on all surfaces together.
    pub in_flight: usize,
    /// How long it has to be calm before the level falls by one.
    pub hold: Duration,
}

impl DegradationConfig {
    /// Reads `degradation.*`.
    pub fn read(reader: &mut Reader) -> Self {
        Self {
            queue_age: reader.value_in(
                "degradation.queue_age",
                "30s",
                "1s"..="24h",
                "wait for a first attempt (bulk aside) above which features are shed",
            ),
            latency: reader.value_in(
                "degradation.latency",
                "100ms",
                "1ms"..="1m",
                "a call of the watched routes that takes longer is slow",
            ),
            slow_percent: reader.value_in(
                "degradation.slow_percent",
                "5",
                "1"..="100",
                "slow ones of a hundred watched calls in two seconds, from which on features are shed",
            ),
            in_flight: reader.value_in(
                "degradation.in_flight",
                "2000",
                "1"..="1000000",
                "requests in hand (HTTP and gRPC) from which on features are shed",
            ),
            hold: reader.value_in(
                "degradation.hold",
                "5s",
                "100ms"..="10m",
                "how long it has to be calm before a feature comes back; up to four times that if it was too soon",
            ),
        }
    }
}

/// The defaults of the keys.
impl Default for DegradationConfig {
    fn default() -> Self {
        Self {
            queue_age: Duration::from_secs(30),
            latency: Duration::from_millis(100),
            slow_percent: 5,
            in_flight: 2000,
            hold: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_keys() {
        let read = DegradationConfig::read(&mut Reader::for_tests(&[]));
        assert_eq!(format!("{read:?}"), format!("{:?}", DegradationConfig::default()));
    }
}
