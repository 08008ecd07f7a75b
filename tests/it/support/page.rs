//! The accounts on a page of metrics.

use chassis_test::Page;
use std::collections::BTreeMap;

pub trait DomainPage {
    fn ledger(&self) -> Ledger;
    fn account(&self) -> Account;
}

impl DomainPage for Page {
    fn ledger(&self) -> Ledger {
        let states = ["accepted", "delivered", "dead", "expired", "cancelled", "unknown", "queued"];
        Ledger(states.map(|state| (state, self.sum("notification_ledger_jobs", &[("state", state)]))).into())
    }

    fn account(&self) -> Account {
        let spans = |outcome| self.sum("telemetry_spans_total", &[("outcome", outcome)]);
        Account {
            ended: self.sum("telemetry_spans_ended_total", &[]),
            exported: spans("exported"),
            failed: spans("failed"),
            dropped: spans("dropped"),
            queued: self.sum("telemetry_spans_queued", &[]),
        }
    }
}

/// The lifetime ledger in one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger(BTreeMap<&'static str, u64>);

impl Ledger {
    pub fn of(&self, state: &str) -> u64 {
        self.0[state]
    }

    /// Panics unless accepted is the sum of all others.
    pub fn assert_exact(&self) {
        let others: u64 =
            self.0.iter().filter(|(state, _)| **state != "accepted").map(|(_, jobs)| jobs).sum();
        assert_eq!(self.of("accepted"), others, "the ledger is not exact: {self:?}");
    }
}

/// What became of the spans that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub ended: u64,
    pub exported: u64,
    pub failed: u64,
    pub dropped: u64,
    pub queued: u64,
}

impl Account {
    pub fn is_exact(&self) -> bool {
        self.ended == self.exported + self.failed + self.dropped + self.queued
    }
}
