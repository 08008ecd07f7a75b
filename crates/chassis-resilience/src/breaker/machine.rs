//! The breaker's states and transitions, without metrics, log lines or locks. Time is passed in.

use super::{BreakerConfig, State, Verdict};
use crate::rolling::Rolling;
use std::time::{Duration, Instant};

const BUCKETS: usize = 10;

/// A call that was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    /// A verdict counts only in the generation that let the call through: what began before the breaker opened
    /// neither closes nor opens it later.
    generation: u64,
    started: Instant,
    pub probe: bool,
}

#[derive(Debug)]
pub(super) struct Machine {
    config: BreakerConfig,
    state: State,
    generation: u64,
    /// Calls that began since the breaker closed, and those of them that failed.
    calls: Rolling<BUCKETS>,
    /// Failures since the last success, and when the first of them began.
    row: u32,
    row_started: Instant,
    /// When the latest successful call began. A failure that began before it says nothing about a row: of a
    /// burst to three endpoints, the calls to the one that hangs fail together, long after the others answered.
    success_started: Option<Instant>,
    opened: Instant,
    /// Whether a probe is in flight, including one that has already failed by being slow.
    probing: bool,
}

impl Machine {
    pub fn new(config: BreakerConfig, now: Instant) -> Self {
        Self {
            calls: Rolling::new(config.window, now),
            config,
            state: State::Closed,
            generation: 0,
            row: 0,
            row_started: now,
            success_started: None,
            opened: now,
            probing: false,
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// Lets a call through; while not closed, one at a time and none before `open_for` has passed.
    ///
    /// # Errors
    /// How long to wait before it is worth trying again.
    pub fn admit(&mut self, now: Instant) -> Result<Ticket, Duration> {
        let probe = self.state != State::Closed;
        if probe {
            let wait = match self.state {
                State::Open => {
                    self.config.open_for.saturating_sub(now.saturating_duration_since(self.opened))
                }
                State::Closed | State::HalfOpen => Duration::ZERO,
            };
            if self.probing || !wait.is_zero() {
                return Err(wait);
            }
            self.state = State::HalfOpen;
            self.probing = true;
        } else {
            self.calls.add(now, 1, 0);
        }
        Ok(Ticket { generation: self.generation, started: now, probe })
    }

    /// Records a call's verdict; once for each call.
    pub fn record(&mut self, ticket: Ticket, verdict: Verdict, now: Instant) {
        if ticket.generation != self.generation {
            return;
        }
        match (self.state, verdict) {
            (State::Closed, Verdict::Success) => {
                self.row = 0;
                self.success_started = self.success_started.max(Some(ticket.started));
            }
            (State::Closed, Verdict::Failure) => self.fail(ticket.started, now),
            (State::HalfOpen, Verdict::Success) => self.close(now),
            (State::HalfOpen, Verdict::Failure) => self.open(now),
            // No call has the generation of an open breaker.
            (State::Open, _) | (_, Verdict::Ignored) => {}
        }
    }

    /// Notes that a call has ended, recorded or not; a probe makes room for the next.
    pub fn leave(&mut self, ticket: Ticket) {
        if ticket.probe {
            self.probing = false;
        }
    }

    fn fail(&mut self, started: Instant, now: Instant) {
        if self.success_started < Some(started) {
            if self.row == 0 {
                self.row_started = started;
            }
            self.row = self.row.saturating_add(1);
        }
        self.calls.add(now, 0, 1);
        let counts = self.calls.sum(now);
        let many = counts.total >= self.config.calls_min && counts.matched * 2 >= counts.total;
        let lasting = now.saturating_duration_since(self.row_started) >= self.config.window / 4;
        if many || (self.row >= self.config.failures_in_a_row && lasting) {
            self.open(now);
        }
    }

    fn open(&mut self, now: Instant) {
        self.state = State::Open;
        self.opened = now;
        self.generation += 1;
    }

    fn close(&mut self, now: Instant) {
        let (probing, generation) = (self.probing, self.generation + 1);
        *self = Self { generation, probing, ..Self::new(self.config.clone(), now) };
    }
}

#[cfg(test)]
mod tests;
