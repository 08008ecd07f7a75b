//! A page of metrics, as far as tests read it.

use std::collections::BTreeMap;

/// Prometheus text.
#[derive(Clone, Debug)]
pub struct MetricsPage(pub String);

impl MetricsPage {
    /// The sum of all samples of this name that have these labels; 0 without one.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let wanted: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let samples = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = rest.rsplit_once(' ')?;
            let whole_name = labels.is_empty() || labels.starts_with('{');
            (whole_name && wanted.iter().all(|label| labels.contains(label)))
                .then(|| value.parse::<f64>().ok())?
        });
        samples.sum::<f64>() as u64
    }

    pub fn ledger(&self) -> Ledger {
        let states = ["accepted", "delivered", "dead", "expired", "cancelled", "unknown", "queued"];
        Ledger(states.map(|state| (state, self.sum("notification_ledger_jobs", &[("state", state)]))).into())
    }
}

/// The lifetime ledger in one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger(BTreeMap<&'static str, u64>);

impl Ledger {
    pub fn of(&self, state: &str) -> u64 {
        self.0[state]
    }

    /// Fails unless accepted is the sum of all others.
    pub fn assert_exact(&self) {
        let others: u64 =
            self.0.iter().filter(|(state, _)| **state != "accepted").map(|(_, jobs)| jobs).sum();
        assert_eq!(self.of("accepted"), others, "the ledger is not exact: {self:?}");
    }
}
