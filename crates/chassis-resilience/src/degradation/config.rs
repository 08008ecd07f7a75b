//! The settings `degradation.*`: the thresholds from which on the service counts as overloaded.

use chassis_telemetry::settings::{between, duration, number};
use conf::Conf;
use std::time::Duration;

#[derive(Clone, Debug, Conf)]
pub struct DegradationConfig {
    /// Wait for a first attempt (bulk aside) above which features are shed.
    #[arg(env, default_value = "30s", value_parser = between("1s", "24h", duration))]
    pub queue_age: Duration,
    /// A request of a watched route that takes longer is slow.
    #[arg(env, default_value = "100ms", value_parser = between("1ms", "1m", duration))]
    pub latency: Duration,
    /// Percentage of slow watched requests, over two seconds, at which shedding starts.
    #[arg(env, default_value = "5", value_parser = between("1", "100", number::<u32>))]
    pub slow_percent: u32,
    /// Requests in flight (HTTP and gRPC) at which shedding starts.
    #[arg(env, default_value = "2000", value_parser = between("1", "1000000", number::<usize>))]
    pub in_flight: usize,
    /// How long it has to be calm before a feature comes back; up to four times that if it was too soon.
    #[arg(env, default_value = "5s", value_parser = between("100ms", "10m", duration))]
    pub hold: Duration,
}

/// The defaults of the settings, which are constants that parse.
impl Default for DegradationConfig {
    fn default() -> Self {
        Self::try_parse_from(["defaults"], [("", "")]).unwrap_or_else(|error| unreachable!("{error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_parse() {
        assert_eq!(DegradationConfig::default().hold, Duration::from_secs(5));
    }

    #[test]
    fn thresholds_out_of_bounds_are_refused() {
        for (key, value) in [("QUEUE_AGE", "25h"), ("SLOW_PERCENT", "0"), ("IN_FLIGHT", "0"), ("HOLD", "0s")]
        {
            assert!(DegradationConfig::try_parse_from(["test"], [(key, value)]).is_err(), "{key}");
        }
    }
}
