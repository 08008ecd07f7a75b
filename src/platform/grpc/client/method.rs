//! What the client keeps for each method: its names, its throttle, and its metrics with their handles. When
//! which of them is counted is decided in `call`.

use super::{Call, outcome::Reason};
use crate::platform::{
    grpc::codes::{Durations, Side},
    resilience::Throttle,
    telemetry::names,
};
use metrics::{Counter, counter};
use parking_lot::RwLock;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tonic::Code;

/// Why a call was not made at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    BreakerOpen,
    Deadline,
}

impl Refusal {
    const ALL: [Self; 2] = [Self::BreakerOpen, Self::Deadline];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BreakerOpen => "breaker_open",
            Self::Deadline => "deadline",
        }
    }
}

/// Why a call that failed was not made again, though it could have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Withheld {
    /// It was made as often as it may be.
    Attempts,
    BreakerOpen,
    Budget,
    /// There was no time left for it.
    Deadline,
}

impl Withheld {
    const ALL: [Self; 4] = [Self::Attempts, Self::BreakerOpen, Self::Budget, Self::Deadline];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::BreakerOpen => "breaker_open",
            Self::Budget => "budget",
            Self::Deadline => "deadline",
        }
    }
}

/// One method of the other side.
pub(super) struct Method {
    /// As `package.v1.Service/Method`.
    pub full: String,
    pub throttle: Throttle,
    durations: Durations,
    retried: [Counter; Reason::ALL.len()],
    withheld: [Counter; Withheld::ALL.len()],
    refused: [Counter; Refusal::ALL.len()],
    throttled: Counter,
}

impl Method {
    fn new(call: &Call) -> Self {
        let Call { service, method, .. } = *call;
        Self {
            full: format!("{service}/{method}"),
            throttle: Throttle::new(Instant::now()),
            durations: Durations::new(service, method, Side::Client),
            retried: Reason::ALL.map(|reason| {
                counter!(
                    names::RPC_CLIENT_RETRIES,
                    names::LABEL_GRPC_METHOD => method,
                    names::LABEL_REASON => reason.as_str(),
                )
            }),
            withheld: Withheld::ALL.map(|reason| {
                counter!(
                    names::RPC_CLIENT_RETRIES_WITHHELD,
                    names::LABEL_GRPC_METHOD => method,
                    names::LABEL_REASON => reason.as_str(),
                )
            }),
            refused: Refusal::ALL.map(|reason| {
                counter!(
                    names::RPC_CLIENT_REFUSED,
                    names::LABEL_GRPC_METHOD => method,
                    names::LABEL_REASON => reason.as_str(),
                )
            }),
            throttled: counter!(names::RPC_CLIENT_THROTTLED, names::LABEL_GRPC_METHOD => method),
        }
    }

    /// An attempt has ended.
    pub fn took(&self, code: Code, time: Duration) {
        self.durations.record(code, time.as_secs_f64());
    }

    pub fn retried(&self, reason: Reason) {
        count(&self.retried, reason as usize);
    }

    pub fn withheld(&self, reason: Withheld) {
        count(&self.withheld, reason as usize);
    }

    pub fn refused(&self, reason: Refusal) {
        count(&self.refused, reason as usize);
    }

    pub fn throttled(&self) {
        self.throttled.increment(1);
    }
}

fn count(counters: &[Counter], place: usize) {
    if let Some(counter) = counters.get(place) {
        counter.increment(1);
    }
}

/// The methods that are called, each made when it is first named.
#[derive(Default)]
pub(super) struct Methods(RwLock<HashMap<(&'static str, &'static str), Arc<Method>>>);

impl Methods {
    pub fn of(&self, call: &Call) -> Arc<Method> {
        let name = (call.service, call.method);
        if let Some(known) = self.0.read().get(&name) {
            return Arc::clone(known);
        }
        Arc::clone(self.0.write().entry(name).or_insert_with(|| Arc::new(Method::new(call))))
    }

    /// The other side is known to be well again.
    pub fn forget_refusals(&self) {
        let now = Instant::now();
        self.0.read().values().for_each(|method| method.throttle.forget(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_counts_in_its_own_place() {
        assert!(Reason::ALL.iter().enumerate().all(|(place, reason)| *reason as usize == place));
        assert!(Withheld::ALL.iter().enumerate().all(|(place, reason)| *reason as usize == place));
        assert!(Refusal::ALL.iter().enumerate().all(|(place, reason)| *reason as usize == place));
    }
}
