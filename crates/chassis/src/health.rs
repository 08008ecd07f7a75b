//! Readiness as named checks with cached verdicts: the owner of a part reports a change here, and nobody who asks
//! `/readyz` waits for the part itself.

use parking_lot::Mutex;
use serde::Serialize;
use std::{borrow::Cow, sync::Arc};
use tokio::sync::watch;

/// The registry of checks. The service is ready while every check passes, and never after [`Self::not_ready`].
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    checks: Vec<Verdict>,
    overruled: Option<&'static str>,
    watched: watch::Sender<bool>,
}

impl State {
    fn is_ready(&self) -> bool {
        self.overruled.is_none() && !self.checks.is_empty() && self.checks.iter().all(|check| check.ok)
    }

    fn publish(&self) {
        let now = self.is_ready();
        self.watched.send_if_modified(|ready| std::mem::replace(ready, now) != now);
    }
}

/// The cached verdict of one check, as `/readyz` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub name: &'static str,
    pub ok: bool,
    /// Comes from code and configuration, never from a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
}

/// All verdicts at one moment, as `/readyz` shows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    pub ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    pub checks: Vec<Verdict>,
}

impl Health {
    /// Registers a check, which fails as `starting` until its first verdict.
    pub fn check(&self, name: &'static str) -> Check {
        let mut state = self.0.lock();
        state.checks.push(Verdict { name, ok: false, reason: Some(Cow::Borrowed("starting")) });
        state.publish();
        Check { name, at: state.checks.len() - 1, health: self.clone() }
    }

    /// Makes the service not ready for good, as its shutdown does.
    pub fn not_ready(&self, reason: &'static str) {
        let mut state = self.0.lock();
        state.overruled = Some(reason);
        state.publish();
    }

    /// Follows whether the service is ready.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.lock().watched.subscribe()
    }

    /// The verdicts now.
    pub fn readiness(&self) -> Readiness {
        let state = self.0.lock();
        Readiness { ready: state.is_ready(), reason: state.overruled, checks: state.checks.clone() }
    }
}

/// The handle of one check. Cheap to clone and to call; only a change writes a line.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    at: usize,
    health: Health,
}

impl Check {
    /// The part works.
    pub fn ok(&self) {
        self.set(true, None);
    }

    /// The part does less than it could, which is no reason not to be ready.
    pub fn degraded(&self, reason: &'static str) {
        self.set(true, Some(Cow::Borrowed(reason)));
    }

    /// The part does not work.
    pub fn fail(&self, reason: impl Into<Cow<'static, str>>) {
        self.set(false, Some(reason.into()));
    }

    fn set(&self, ok: bool, reason: Option<Cow<'static, str>>) {
        let mut state = self.health.0.lock();
        let Some(verdict) = state.checks.get_mut(self.at) else { return };
        verdict.reason.clone_from(&reason);
        let changed = std::mem::replace(&mut verdict.ok, ok) != ok;
        state.publish();
        drop(state);
        match (changed, ok) {
            (true, true) => tracing::info!(check = self.name, "check passes"),
            (true, false) => tracing::warn!(check = self.name, reason = reason.as_deref(), "check fails"),
            (false, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_ready_while_every_check_passes() {
        let health = Health::default();
        assert!(!health.readiness().ready, "ready before anything was checked");
        let (store, queue) = (health.check("store"), health.check("queue"));
        store.ok();
        assert_eq!(health.readiness().checks[1].reason.as_deref(), Some("starting"));
        queue.ok();
        assert!(health.readiness().ready);
        store.fail("the disk is full");
        let readiness = health.readiness();
        assert!(!readiness.ready);
        assert_eq!(readiness.checks[0].reason.as_deref(), Some("the disk is full"));
    }

    #[test]
    fn a_degraded_part_gives_its_reason_and_is_ready() {
        let health = Health::default();
        let cache = health.check("cache");
        cache.degraded("answers from memory");
        assert!(health.readiness().ready);
        assert_eq!(health.readiness().checks[0].reason.as_deref(), Some("answers from memory"));
        cache.ok();
        assert_eq!(health.readiness().checks[0].reason, None);
    }

    #[test]
    fn a_watcher_sees_each_change_of_readiness_and_nothing_else() {
        let health = Health::default();
        let mut watched = health.watch();
        let mut changed = || watched.has_changed().unwrap().then(|| *watched.borrow_and_update());
        let (store, queue) = (health.check("store"), health.check("queue"));
        store.ok();
        assert_eq!(changed(), None);
        queue.ok();
        assert_eq!(changed(), Some(true));
        queue.ok();
        assert_eq!(changed(), None);
        health.not_ready("shutting down");
        assert_eq!(changed(), Some(false));
    }

    #[test]
    fn no_check_overrules_a_shutdown() {
        let health = Health::default();
        health.not_ready("shutting down");
        health.check("store").ok();
        assert!(!health.readiness().ready);
        assert_eq!(health.readiness().reason, Some("shutting down"));
    }
}
