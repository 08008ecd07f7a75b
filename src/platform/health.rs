//! Whether the service is ready, as named checks with cached verdicts. Whoever owns a part tells its
//! verdict here when it changes; asking never goes to the part itself.

use parking_lot::Mutex;
use serde::Serialize;
use std::{borrow::Cow, sync::Arc};
use tokio::sync::watch;

/// The registry of checks. Cheap to clone; ready if every check is, and until [`Self::not_ready`].
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    checks: Vec<Verdict>,
    /// Why the whole service is not ready, whatever its checks say.
    overruled: Option<&'static str>,
    watched: watch::Sender<bool>,
}

impl State {
    fn ready(&self) -> bool {
        self.overruled.is_none() && !self.checks.is_empty() && self.checks.iter().all(|check| check.ok)
    }

    /// Tells whoever watches, if anything changed for them.
    fn tell(&self) {
        let now = self.ready();
        self.watched.send_if_modified(|ready| std::mem::replace(ready, now) != now);
    }
}

/// One check's cached verdict, as `/readyz` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub name: &'static str,
    pub ok: bool,
    /// From code and configuration alone, never from a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
}

/// All verdicts at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    pub ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    pub checks: Vec<Verdict>,
}

impl Health {
    /// Registers a check, which fails as `starting` until it first says otherwise.
    pub fn check(&self, name: &'static str) -> Check {
        let mut state = self.0.lock();
        state.checks.push(Verdict { name, ok: false, reason: Some(Cow::Borrowed("starting")) });
        state.tell();
        Check { name, at: state.checks.len() - 1, health: self.clone() }
    }

    /// Makes the service not ready for good, as its shutdown does.
    pub fn not_ready(&self, reason: &'static str) {
        let mut state = self.0.lock();
        state.overruled = Some(reason);
        state.tell();
    }

    /// Whether the service is ready, now and from here on.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.lock().watched.subscribe()
    }

    /// The verdicts now.
    pub fn readiness(&self) -> Readiness {
        let state = self.0.lock();
        Readiness { ready: state.ready(), reason: state.overruled, checks: state.checks.clone() }
    }
}

/// One part's handle on its own verdict. Cheap to clone and to call.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    at: usize,
    health: Health,
}

impl Check {
    /// The part works.
    pub fn ok(&self) {
        if self.tell(true, None) {
            tracing::info!(check = self.name, "check passes");
        }
    }

    /// The part does not work, and why.
    pub fn fail(&self, reason: impl Into<Cow<'static, str>>) {
        if self.tell(false, Some(reason.into())) {
            tracing::warn!(check = self.name, "check fails");
        }
    }

    /// The part does less than it could, and why; no reason not to be ready.
    pub fn degraded(&self, reason: &'static str) {
        if self.tell(true, Some(Cow::Borrowed(reason))) {
            tracing::info!(check = self.name, "check passes");
        }
    }

    /// Whether the verdict changed: only a change is worth a line.
    fn tell(&self, ok: bool, reason: Option<Cow<'static, str>>) -> bool {
        let mut state = self.health.0.lock();
        let Some(verdict) = state.checks.get_mut(self.at) else { return false };
        let changed = verdict.ok != ok;
        verdict.ok = ok;
        verdict.reason = reason;
        state.tell();
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_ready_when_every_check_has_passed() {
        let health = Health::default();
        let (store, queue) = (health.check("store"), health.check("queue"));
        assert!(!health.readiness().ready);
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
    fn a_degraded_part_says_so_and_is_ready_all_the_same() {
        let health = Health::default();
        let other = health.check("other");
        other.degraded("answers from memory");
        assert!(health.readiness().ready);
        assert_eq!(health.readiness().checks[0].reason.as_deref(), Some("answers from memory"));
        other.ok();
        assert_eq!(health.readiness().checks[0].reason, None);
    }

    #[test]
    fn nothing_is_ready_before_anything_is_checked() {
        assert!(!Health::default().readiness().ready);
    }

    #[test]
    fn whoever_watches_learns_of_each_change_and_of_nothing_else() {
        let health = Health::default();
        let mut watched = health.watch();
        let changed = |watched: &mut watch::Receiver<bool>| {
            watched.has_changed().unwrap().then(|| *watched.borrow_and_update())
        };
        let (store, queue) = (health.check("store"), health.check("queue"));
        store.ok();
        assert_eq!(changed(&mut watched), None);
        queue.ok();
        assert_eq!(changed(&mut watched), Some(true));
        queue.ok();
        assert_eq!(changed(&mut watched), None);
        health.not_ready("shutting down");
        assert_eq!(changed(&mut watched), Some(false));
    }

    #[test]
    fn no_check_can_overrule_a_shutdown() {
        let health = Health::default();
        health.not_ready("shutting down");
        health.check("store").ok();
        assert!(!health.readiness().ready);
        assert_eq!(health.readiness().reason, Some("shutting down"));
    }
}
