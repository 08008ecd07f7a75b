//! The circuit breaker: calls to another side are not made while it is known not to answer them. Usable for
//! any kind of call; what is a failure is the caller's to say.
//!
//! Closed, it lets everything through and counts. Open, it lets nothing through. After a while it is
//! half-open: one call at a time, a probe, and what comes of it closes the breaker or opens it again.

mod machine;

use crate::platform::telemetry::{SpanExt, names};
use machine::{Machine, Ticket, Verdict};
use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout_at;
use tracing::Span;

/// When a breaker opens and closes. The default opens within a second when all of three calls a second or
/// more fail, and lets a third of them fail for ever, as by one of three endpoints.
#[derive(Clone, Debug)]
pub struct BreakerConfig {
    /// Over this time the share of failures is taken. A row of failures has to last a quarter of it: those
    /// of a burst may come back before its successes do.
    pub window: Duration,
    /// It opens when half of the calls in the window failed, if there were as many as this.
    pub fewest: u64,
    /// It opens when so many calls in a row failed, however few there are.
    pub in_a_row: u32,
    /// A call without an answer for so long is a failure at that moment, whatever comes of it.
    pub slow: Duration,
    /// From opening to the first probe. Not longer after failed probes: a probe is one call, and the return
    /// of the other side is to be seen soon.
    pub open_for: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(1),
            fewest: 10,
            in_a_row: 3,
            slow: Duration::from_millis(500),
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

impl State {
    /// The label of its metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// The breaker does not let a call through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker is open")]
pub struct Refused {
    /// Until a probe may be made; nothing while one is on its way.
    pub retry_after: Duration,
}

/// A breaker before one other side. Cheap to clone.
#[derive(Clone)]
pub struct Breaker(Arc<Inner>);

struct Inner {
    target: &'static str,
    slow: Duration,
    machine: Mutex<Machine>,
    gauge: Gauge,
    transitions: [(State, Counter); 3],
}

impl Breaker {
    /// A closed one before `target`, a configured name. Make it after the metrics recorder is installed:
    /// handles are kept.
    pub fn new(target: &'static str, config: BreakerConfig) -> Self {
        let gauge = gauge!(names::CIRCUIT_BREAKER_STATE, names::LABEL_TARGET => target);
        gauge.set(State::Closed as u8);
        let transitions = [State::Closed, State::HalfOpen, State::Open].map(|state| {
            let counter = counter!(
                names::CIRCUIT_BREAKER_TRANSITIONS,
                names::LABEL_TARGET => target,
                names::LABEL_TO => state.as_str(),
            );
            (state, counter)
        });
        let slow = config.slow;
        let machine = Mutex::new(Machine::new(config, Instant::now()));
        Self(Arc::new(Inner { target, slow, machine, gauge, transitions }))
    }

    /// The state now. An open one becomes half-open when a call is let through.
    pub fn state(&self) -> State {
        self.0.machine.lock().state()
    }

    /// From which time on a call is slow.
    pub fn slow(&self) -> Duration {
        self.0.slow
    }

    /// Lets a call through or not.
    ///
    /// # Errors
    /// It does not.
    pub fn admit(&self) -> Result<Permit, Refused> {
        let ticket = self.change(|machine| machine.admit(Instant::now()));
        let ticket = ticket.map_err(|retry_after| Refused { retry_after })?;
        Ok(Permit { breaker: self.clone(), ticket, judged: false })
    }

    /// Changes the machine, and tells of a transition outside its lock.
    fn change<T>(&self, change: impl FnOnce(&mut Machine) -> T) -> T {
        let mut machine = self.0.machine.lock();
        let before = machine.state();
        let changed = change(&mut machine);
        let after = machine.state();
        if before != after {
            // Under the lock, so that the gauge ends with the latest state.
            self.0.gauge.set(after as u8);
        }
        drop(machine);
        if before != after {
            self.0.tell(before, after);
        }
        changed
    }
}

impl Inner {
    fn tell(&self, before: State, after: State) {
        let (target, to) = (self.target, after.as_str());
        if let Some((_, counter)) = self.transitions.iter().find(|(state, _)| *state == after) {
            counter.increment(1);
        }
        let attributes = [(names::LABEL_TARGET, target.to_owned()), (names::LABEL_TO, to.to_owned())];
        Span::current().add_event("circuit breaker", &attributes);
        match (before, after) {
            (State::Closed, _) => {
                tracing::warn!(target, "the circuit breaker opens: most calls fail or are slow");
            }
            (_, State::Closed) => tracing::info!(target, "the circuit breaker closes"),
            // A lasting fault is told when it begins and when it ends; probes are counted.
            _ => tracing::debug!(target, to, "the circuit breaker probes"),
        }
    }
}

/// A call that was let through. One that is dropped says nothing, and leaves a probe's place to the next.
#[must_use = "what came of the call is to be told"]
pub struct Permit {
    breaker: Breaker,
    ticket: Ticket,
    judged: bool,
}

impl Permit {
    /// Whether this call is the one that finds out how the other side is.
    pub fn is_probe(&self) -> bool {
        self.ticket.probe
    }

    /// The call was answered as it should be; whether this closed the breaker.
    pub fn succeed(mut self) -> bool {
        self.judge(Verdict::Success);
        self.ticket.probe && self.breaker.state() == State::Closed
    }

    /// The call failed by a fault of the other side.
    pub fn fail(mut self) {
        self.judge(Verdict::Failure);
    }

    /// Awaits the call's answer; if it is slow it has failed, as soon as it is.
    pub async fn watch<T>(&mut self, call: impl Future<Output = T>) -> T {
        let slow = tokio::time::Instant::now() + self.breaker.0.slow;
        tokio::pin!(call);
        if let Ok(answer) = timeout_at(slow, &mut call).await {
            return answer;
        }
        self.judge(Verdict::Failure);
        call.await
    }

    /// Once for each call: what comes after it was slow does not count.
    fn judge(&mut self, verdict: Verdict) {
        if !std::mem::replace(&mut self.judged, true) {
            self.breaker.change(|machine| machine.judge(self.ticket, verdict, Instant::now()));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.breaker.change(|machine| machine.leave(self.ticket));
    }
}
