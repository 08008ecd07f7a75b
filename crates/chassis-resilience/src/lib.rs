//! Keeps a fault in one place from becoming one in another.
//!
//! - [`Breaker`], [`Throttle`] and [`RetryBudget`] spare another service that is not well. They know nothing of
//!   protocols: a gateway's HTTP client uses them as `chassis-rpc` does.
//! - [`Degradation`] sheds the features that matter least while there is too much to do.
//!
//! Everything here takes its time from the caller or from tokio, keeps its metrics as handles and says what it
//! decided as an event of the current span. Create the types after the metrics recorder is installed.

mod breaker;
mod budget;
mod degradation;
mod rolling;
mod throttle;

pub use breaker::{Breaker, BreakerConfig, BreakerOpen, Permit, State, Verdict};
pub use budget::RetryBudget;
pub use degradation::{Degradation, DegradationConfig, Feature, NoSuchLevel, Pressure, Shed, Signal};
pub use throttle::Throttle;

use chassis_telemetry::catalogue::Metric;
use std::time::Duration;

/// Every metric of this crate.
pub const METRICS: &[Metric] = &[
    breaker::STATE,
    breaker::TRANSITIONS,
    degradation::SHED,
    degradation::LEVEL,
    degradation::PINNED,
    degradation::PRESSURE,
];

/// A wait that a peer asks for (`Retry-After`, `RetryInfo`), but at most an hour: what comes over the network may
/// be any number, and arithmetic with `Instant` panics on overflow.
pub fn believable(wait: Duration) -> Duration {
    wait.min(Duration::from_secs(3600))
}
