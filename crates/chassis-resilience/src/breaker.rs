//! The circuit breaker: calls to a target are not made while the target is known not to answer them.
//!
//! Closed, it lets every call through and counts. Open, it refuses all. After `open_for` it is half-open: one
//! call at a time, the probe, is let through, and its outcome closes the breaker or opens it again.

use crate::rolling::Rolling;
use chassis_telemetry::SpanExt;
use chassis_telemetry::catalogue::{Label, Metric, Values, counter, gauge};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tracing::Span;

const TARGET: Label = ("target", Values::Open("a configured name"));
pub(crate) const STATE: Metric =
    gauge("circuit_breaker_state", "State of a circuit breaker: 0 closed, 1 half-open, 2 open.")
        .labels(&[TARGET]);
pub(crate) const TRANSITIONS: Metric =
    counter("circuit_breaker_transitions_total", "State changes of a circuit breaker.")
        .labels(&[TARGET, ("to", Values::Closed(&STATES))]);
const STATES: [&str; 3] = ["closed", "half_open", "open"];

/// When a breaker opens and closes. The default opens within a second when all of three or more calls a second
/// fail, and tolerates for ever that a third of them do, as with one broken endpoint of three.
#[derive(Clone, Debug)]
pub struct BreakerConfig {
    /// The failure rate is taken over this time. A row of failures has to last a quarter of it, because the
    /// failures of a burst may come back before its successes.
    pub window: Duration,
    /// The breaker opens when half of the calls in the window failed, if there were at least this many.
    pub calls_min: u64,
    /// It also opens after this many failures in a row, however few calls there are.
    pub failures_in_a_row: u32,
    /// A call without an answer for this long counts as failed at that moment, whatever comes of it.
    pub slow_after: Duration,
    /// From opening to the first probe, and between failed probes. It does not grow: a probe is one call, and
    /// recovery should be noticed soon.
    pub open_for: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(1),
            calls_min: 10,
            failures_in_a_row: 3,
            slow_after: Duration::from_millis(500),
            open_for: Duration::from_secs(1),
        }
    }
}

/// The states, with their values in `circuit_breaker_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Closed = 0,
    HalfOpen = 1,
    Open = 2,
}

/// What a call says about the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The target answered as it should, which includes answers such as "not found".
    Success,
    /// The target is at fault.
    Failure,
    /// Nothing: the caller left, or the call was shed on purpose.
    Ignored,
}

/// The breaker refused a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker is open")]
pub struct BreakerOpen {
    /// Until a probe may be made; zero while one is in flight.
    pub retry_after: Duration,
}

/// A breaker in front of one target. Cheap to clone.
#[derive(Clone)]
pub struct Breaker {
    target: &'static str,
    machine: Arc<Mutex<Machine>>,
}

impl Breaker {
    /// Creates a closed breaker. `target` is a configured name, the label of its metrics.
    pub fn new(target: &'static str, config: BreakerConfig) -> Self {
        metrics::gauge!(STATE.name, "target" => target).set(State::Closed as u8);
        for to in STATES {
            metrics::counter!(TRANSITIONS.name, "target" => target, "to" => to).increment(0);
        }
        Self { target, machine: Arc::new(Mutex::new(Machine::new(config, Instant::now()))) }
    }

    /// The state now. An open breaker becomes half-open when it lets a probe through.
    pub fn state(&self) -> State {
        self.machine.lock().state
    }

    /// Whether a call would be admitted now; admits none.
    ///
    /// # Errors
    /// The breaker is open.
    pub fn look(&self) -> Result<(), BreakerOpen> {
        let refused = self.machine.lock().refuses(Instant::now());
        refused.map_or(Ok(()), |retry_after| Err(BreakerOpen { retry_after }))
    }

    /// Admits a call; the permit learns what comes of it.
    ///
    /// # Errors
    /// The breaker is open.
    pub fn admit(&self) -> Result<Permit, BreakerOpen> {
        let ticket = self.update(|machine| machine.admit(Instant::now()));
        let ticket = ticket.map_err(|retry_after| BreakerOpen { retry_after })?;
        Ok(Permit { breaker: self.clone(), ticket, recorded: false })
    }

    /// Updates the machine, and reports a transition after its lock is released.
    fn update<T>(&self, update: impl FnOnce(&mut Machine) -> T) -> T {
        let mut machine = self.machine.lock();
        let from = machine.state;
        let result = update(&mut machine);
        let to = machine.state;
        if from == to {
            return result;
        }
        let (target, name) = (self.target, STATES[to as usize]);
        // Under the lock, so that the gauge ends with the latest state.
        metrics::gauge!(STATE.name, "target" => target).set(to as u8);
        drop(machine);
        metrics::counter!(TRANSITIONS.name, "target" => target, "to" => name).increment(1);
        Span::current()
            .add_event("circuit breaker", &[("target", target.to_owned()), ("to", name.to_owned())]);
        match (from, to) {
            (State::Closed, _) => {
                tracing::warn!(target, "circuit breaker opens: most calls fail or are slow")
            }
            (_, State::Closed) => tracing::info!(target, "circuit breaker closes"),
            // One line when an outage begins and one when it ends; probes are counted.
            _ => tracing::debug!(target, to = name, "circuit breaker probes"),
        }
        result
    }
}

/// A call that was let through. Dropping it records nothing and frees the place of a probe.
#[must_use = "record what came of the call"]
pub struct Permit {
    breaker: Breaker,
    ticket: Ticket,
    recorded: bool,
}

impl Permit {
    /// Whether this call is the one that finds out how the target is.
    pub fn is_probe(&self) -> bool {
        self.ticket.probe
    }

    /// Awaits the answer, and records a failure as soon as the call is slow.
    pub async fn watch<T>(&mut self, call: impl Future<Output = T>) -> T {
        let slow_after = self.breaker.machine.lock().config.slow_after;
        tokio::pin!(call);
        match timeout(slow_after, &mut call).await {
            Ok(answer) => answer,
            Err(_) => {
                self.record(Verdict::Failure);
                call.await
            }
        }
    }

    /// Records what came of the call, once: after it was slow, this changes nothing.
    pub fn record(&mut self, verdict: Verdict) {
        if !std::mem::replace(&mut self.recorded, true) {
            self.breaker.update(|machine| machine.record(self.ticket, verdict, Instant::now()));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.breaker.update(|machine| machine.leave(self.ticket));
    }
}

const BUCKETS: usize = 10;

/// A call that was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticket {
    /// A verdict counts only in the generation that let the call through: what began before the breaker opened
    /// neither closes nor opens it later.
    generation: u64,
    started: Instant,
    probe: bool,
}

#[derive(Debug)]
struct Machine {
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
    fn new(config: BreakerConfig, now: Instant) -> Self {
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

    /// Lets a call through; while not closed, one at a time and none before `open_for` has passed.
    ///
    /// # Errors
    /// How long to wait before it is worth trying again.
    fn admit(&mut self, now: Instant) -> Result<Ticket, Duration> {
        let ticket = Ticket { generation: self.generation, started: now, probe: self.state != State::Closed };
        if let Some(wait) = self.refuses(now) {
            return Err(wait);
        }
        if ticket.probe {
            (self.state, self.probing) = (State::HalfOpen, true);
        } else {
            self.calls.add(now, 1, 0);
        }
        Ok(ticket)
    }

    /// How long to wait, if a call would be refused now.
    fn refuses(&self, now: Instant) -> Option<Duration> {
        let rest = match self.state {
            State::Closed => return None,
            State::HalfOpen => Duration::ZERO,
            State::Open => self.config.open_for,
        };
        let wait = rest.saturating_sub(now.saturating_duration_since(self.opened));
        (self.probing || !wait.is_zero()).then_some(wait)
    }

    /// Records a call's verdict; once for each call.
    fn record(&mut self, ticket: Ticket, verdict: Verdict, now: Instant) {
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
    fn leave(&mut self, ticket: Ticket) {
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
