//! The states of a breaker and what leads from one to the next. It is told the time; metrics, lines and
//! locks are not known here.

use super::{BreakerConfig, State};
use crate::platform::resilience::rolling::Rolling;
use std::time::{Duration, Instant};

const BUCKETS: usize = 10;

/// A call that was let through, as the machine knows it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    /// What comes of a call counts only in the state that it was let through in.
    era: u64,
    began: Instant,
    pub probe: bool,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Success,
    Failure,
}

#[derive(Debug)]
pub(super) struct Machine {
    config: BreakerConfig,
    state: State,
    era: u64,
    /// Of this closed state: the calls that began, and those that failed.
    calls: Rolling<BUCKETS>,
    /// How many failed since the last success, and when the first of them began.
    row: u32,
    row_began: Instant,
    /// When the latest call began that was a success. One that began before says nothing of a row: of a burst
    /// to three endpoints those to the one that hangs fail together, long after the others were answered.
    well_began: Option<Instant>,
    opened: Instant,
    /// Whether a probe is on its way, also one that has failed already by being slow.
    probing: bool,
}

impl Machine {
    pub fn new(config: BreakerConfig, now: Instant) -> Self {
        let calls = Rolling::new(config.window, now);
        Self {
            config,
            state: State::Closed,
            era: 0,
            calls,
            row: 0,
            row_began: now,
            well_began: None,
            opened: now,
            probing: false,
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// Lets a call through; while not closed only one at a time, and none before its time.
    ///
    /// # Errors
    /// None may pass now; it is worth another try after this time.
    pub fn admit(&mut self, now: Instant) -> Result<Ticket, Duration> {
        let probe = self.state != State::Closed;
        if probe {
            let open_for = now.saturating_duration_since(self.opened);
            let wait = match self.state {
                State::Open => self.config.open_for.saturating_sub(open_for),
                State::Closed | State::HalfOpen => Duration::ZERO,
            };
            if self.probing || !wait.is_zero() {
                return Err(wait);
            }
            self.state = State::HalfOpen;
            self.probing = true;
        } else {
            self.calls.count(now);
        }
        Ok(Ticket { era: self.era, began: now, probe })
    }

    /// What came of a call, once for each.
    pub fn judge(&mut self, ticket: Ticket, verdict: Verdict, now: Instant) {
        if ticket.era != self.era {
            return;
        }
        match (self.state, verdict) {
            (State::Closed, Verdict::Success) => {
                self.row = 0;
                self.well_began = self.well_began.max(Some(ticket.began));
            }
            (State::Closed, Verdict::Failure) => self.fail(ticket.began, now),
            (State::HalfOpen, Verdict::Success) => self.close(now),
            (State::HalfOpen, Verdict::Failure) => self.open(now),
            // Nothing that is let through in this state has its era.
            (State::Open, _) => {}
        }
    }

    /// A call has ended, judged or not; a probe leaves its place to the next.
    pub fn leave(&mut self, ticket: Ticket) {
        if ticket.probe {
            self.probing = false;
        }
    }

    fn fail(&mut self, began: Instant, now: Instant) {
        if self.well_began < Some(began) {
            if self.row == 0 {
                self.row_began = began;
            }
            self.row = self.row.saturating_add(1);
        }
        self.calls.count_some(now);
        let counts = self.calls.sum(now);
        let many = counts.all >= self.config.fewest && counts.some * 2 >= counts.all;
        let lasting = now.saturating_duration_since(self.row_began) >= self.config.window / 4;
        if many || (self.row >= self.config.in_a_row && lasting) {
            self.open(now);
        }
    }

    fn open(&mut self, now: Instant) {
        self.state = State::Open;
        self.opened = now;
        self.era += 1;
    }

    fn close(&mut self, now: Instant) {
        let probing = self.probing;
        let era = self.era + 1;
        *self = Self { era, probing, ..Self::new(self.config.clone(), now) };
    }
}

#[cfg(test)]
mod tests;
