//! The service's own metric series, with their handles made once.

use super::model::Outage;
use crate::platform::telemetry::names;
use metrics::{Counter, counter};

/// Counts where answers came from. Counters are there with 0 from the start.
pub struct Metrics {
    live: Counter,
    no_report: Counter,
    misconfigured: Counter,
    /// From memory, and not at all, by why not from the ePRO service.
    fallbacks: [(Counter, Counter); Outage::ALL.len()],
}

impl Metrics {
    /// Call once metrics are recorded, or the handles lead nowhere.
    pub fn new() -> Self {
        let answered = |source: &'static str, reason: &'static str| counter!(names::CTMS_REPORT_ANSWERS, names::LABEL_SOURCE => source, names::LABEL_REASON => reason);
        Self {
            live: answered("live", "found"),
            no_report: answered("live", "not_found"),
            misconfigured: answered("none", "misconfigured"),
            fallbacks: Outage::ALL
                .map(|outage| (answered("cache", outage.as_str()), answered("none", outage.as_str()))),
        }
    }

    /// The ePRO service told a report.
    pub fn live(&self) {
        self.live.increment(1);
    }

    /// The ePRO service has none.
    pub fn no_report(&self) {
        self.no_report.increment(1);
    }

    /// The ePRO service does not let us in.
    pub fn misconfigured(&self) {
        self.misconfigured.increment(1);
    }

    /// The ePRO service did not answer; whether memory did.
    pub fn fallback(&self, outage: Outage, remembered: bool) {
        let at = Outage::ALL.iter().position(|known| *known == outage);
        if let Some((cache, none)) = at.and_then(|at| self.fallbacks.get(at)) {
            if remembered { cache.increment(1) } else { none.increment(1) }
        }
    }
}
