//! The lifetime ledger: how many jobs were ever accepted, and where each of them is now.
//!
//! It is changed in the jobs' own transactions, so that it is exact in every snapshot, across crashes
//! and after retention has deleted the jobs: accepted = delivered + dead + expired + cancelled +
//! unknown + queued.

use super::{Row, StoreError, Tx};

/// A state that the ledger counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerState {
    Accepted,
    Delivered,
    Dead,
    Expired,
    Cancelled,
    Unknown,
    Queued,
}

impl LedgerState {
    pub const ALL: [Self; 7] = [
        Self::Accepted,
        Self::Delivered,
        Self::Dead,
        Self::Expired,
        Self::Cancelled,
        Self::Unknown,
        Self::Queued,
    ];

    /// The value of the metric's `state` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
            Self::Queued => "queued",
        }
    }
}

/// Jobs by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger([i64; 7]);

/// What a transaction changes in the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerChange(Ledger);

impl Ledger {
    /// How many jobs are in `state`; for `Accepted`, how many ever were.
    pub fn get(&self, state: LedgerState) -> i64 {
        self.0[state as usize]
    }

    /// accepted − (delivered + dead + expired + cancelled + unknown + queued); 0 unless a defect loses jobs.
    pub fn imbalance(&self) -> i64 {
        let [accepted, rest @ ..] = self.0;
        accepted - rest.iter().sum::<i64>()
    }

    pub(super) fn apply(&mut self, change: &LedgerChange) {
        self.0.iter_mut().zip(change.0.0).for_each(|(count, by)| *count += by);
    }

    pub(super) fn load(tx: &mut Tx<'_>) -> Result<Self, StoreError> {
        const SQL: &str = "SELECT accepted, delivered, dead, expired, cancelled, unknown, queued FROM ledger";
        let read = |row: &Row<'_>| {
            let mut counts = [0; 7];
            for (column, count) in counts.iter_mut().enumerate() {
                *count = row.int(column)?;
            }
            Ok(Self(counts))
        };
        tx.first(SQL, &[], read)?.ok_or_else(|| StoreError::Statement("the ledger has no row".to_owned()))
    }
}

impl LedgerChange {
    /// `jobs` new ones, which are queued.
    pub fn accepted(&mut self, jobs: usize) {
        self.add(LedgerState::Accepted, jobs as i64);
        self.add(LedgerState::Queued, jobs as i64);
    }

    /// One job goes from a state to another.
    pub fn moved(&mut self, from: LedgerState, to: LedgerState) {
        self.add(from, -1);
        self.add(to, 1);
    }

    fn add(&mut self, state: LedgerState, by: i64) {
        self.0.0[state as usize] += by;
    }

    pub(super) fn store(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        if *self == Self::default() {
            return Ok(());
        }
        const SQL: &str = "UPDATE ledger SET accepted = accepted + $1, delivered = delivered + $2, dead = dead + $3, \
             expired = expired + $4, cancelled = cancelled + $5, unknown = unknown + $6, queued = queued + $7";
        tx.execute(SQL, &self.0.0.map(super::Param::Int)).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_balances_through_every_move() {
        let mut change = LedgerChange::default();
        change.accepted(3);
        change.moved(LedgerState::Queued, LedgerState::Delivered);
        change.moved(LedgerState::Queued, LedgerState::Dead);
        change.moved(LedgerState::Dead, LedgerState::Queued);
        let mut ledger = Ledger::default();
        ledger.apply(&change);
        assert_eq!(ledger.imbalance(), 0);
        assert_eq!(ledger.get(LedgerState::Queued), 2);
        assert_eq!(ledger.get(LedgerState::Accepted), 3);
    }

    #[test]
    fn a_lost_job_shows_as_an_imbalance() {
        let mut change = LedgerChange::default();
        change.accepted(2);
        change.add(LedgerState::Queued, -1);
        let mut ledger = Ledger::default();
        ledger.apply(&change);
        assert_eq!(ledger.imbalance(), 1);
    }
}
