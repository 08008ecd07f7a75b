//! What is counted of a target's endpoints, kept as handles.

use crate::platform::telemetry::names;
use metrics::{Counter, Gauge, counter, gauge};

/// How many endpoints are in each state.
pub(super) struct EndpointGauges {
    new: Gauge,
    up: Gauge,
    down: Gauge,
}

impl EndpointGauges {
    pub fn new(target: &'static str) -> Self {
        let of = |state: &'static str| gauge!(names::RPC_CLIENT_ENDPOINTS, names::LABEL_TARGET => target, names::LABEL_STATE => state);
        let gauges = Self { new: of("new"), up: of("up"), down: of("down") };
        gauges.set(0, 0, 0);
        gauges
    }

    pub fn set(&self, new: u32, up: u32, down: u32) {
        self.new.set(new);
        self.up.set(up);
        self.down.set(down);
    }
}

/// Look-ups of a target's endpoints, by what they came to.
#[derive(Clone)]
pub(super) struct LookupCounters {
    pub ok: Counter,
    pub failed: Counter,
}

impl LookupCounters {
    pub fn new(target: &'static str) -> Self {
        let of = |outcome: &'static str| counter!(names::RPC_CLIENT_LOOKUPS, names::LABEL_TARGET => target, names::LABEL_OUTCOME => outcome);
        Self { ok: of("ok"), failed: of("failed") }
    }
}
