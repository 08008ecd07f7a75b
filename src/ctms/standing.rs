//! How the ePRO service was when it was asked last, for readiness and for whoever operates both. What each
//! caller is answered is not decided here.

use crate::platform::health::Check;
use parking_lot::Mutex;
use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

/// That we are not let in is said no more often than this: it may be one of several who does not.
const REMINDER: Duration = Duration::from_secs(60);

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Answers,
    /// It could not answer, or was not asked.
    Silent,
    /// It does not let us in.
    Closed,
}

/// The last state, told when it changes.
pub struct Standing {
    last: AtomicU8,
    check: Check,
    reminded: Mutex<Option<Instant>>,
}

impl Standing {
    /// Passes the check: before it was asked, nothing is known against the other service.
    pub fn new(check: Check) -> Self {
        check.ok();
        Self { last: AtomicU8::new(State::Answers as u8), check, reminded: Mutex::new(None) }
    }

    /// A call came to this.
    pub fn is(&self, state: State) {
        let now = state as u8;
        // Read first: nearly always it is as before, and a write would be felt by all calls.
        if self.last.load(Ordering::Relaxed) == now || self.last.swap(now, Ordering::Relaxed) == now {
            return;
        }
        match state {
            State::Answers => self.check.ok(),
            State::Silent => {
                self.check.degraded("the ePRO service cannot answer: reports come from memory");
            }
            State::Closed => {
                self.check.degraded("the ePRO service does not let us in");
                self.remind();
            }
        }
    }

    fn remind(&self) {
        let mut reminded = self.reminded.lock();
        if reminded.is_none_or(|at| at.elapsed() >= REMINDER) {
            *reminded = Some(Instant::now());
            tracing::warn!(
                "the ePRO service does not let us in: check epro.api_key_file and its key's scope"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::health::Health;

    #[test]
    fn whatever_the_other_service_does_this_one_is_ready() {
        let health = Health::default();
        let standing = Standing::new(health.check("other"));
        for (state, has_reason) in
            [(State::Silent, true), (State::Closed, true), (State::Answers, false), (State::Closed, true)]
        {
            standing.is(state);
            let readiness = health.readiness();
            assert!(readiness.ready, "{state:?}");
            assert_eq!(readiness.checks[0].reason.is_some(), has_reason, "{state:?}");
        }
    }
}
