//! One call, however many attempts it takes: whether it is made, and made again. What an attempt is stands
//! in `attempt`, what it means that one failed in `outcome`.

use super::{
    Channel, ClientConfig,
    attempt::Attempt,
    key::Key,
    method::{Method, Methods, Refusal, Withheld},
    outcome::{Failed, Health, Reason},
};
use crate::platform::{
    resilience::{
        Breaker, BreakerConfig, RetryBudget,
        breaker::{Permit, State},
    },
    telemetry::{SpanExt, TraceContext, names},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;
use tonic::{Request, Response, Status};
use tracing::Span;

const MOST_ATTEMPTS: u32 = 3;
/// The ceiling of the wait before the second attempt; it doubles for each further one.
const BACKOFF: Duration = Duration::from_millis(25);
/// Less time than this is none: no answer comes back over a network in it.
const SHORTEST: Duration = Duration::from_millis(1);

/// What is called, and whether an attempt may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// With its package, as `package.v1.Name`.
    pub service: &'static str,
    pub method: &'static str,
    /// Whether making it twice comes to the same: it only reads, or has an idempotency key.
    pub repeatable: bool,
}

/// Why a call has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// Not tried: the breaker is open.
    #[error("the circuit breaker is open")]
    BreakerOpen,
    /// Not tried: too many calls have been turned away by the other side of late.
    #[error("throttled")]
    Throttled,
    /// There was no time (left) for an attempt, or it ran out in one.
    #[error("the deadline has passed")]
    Deadline,
    /// What the last attempt came to.
    #[error("{:?}: {}", .0.code(), .0.message())]
    Failed(Status),
}

/// Calls one target. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    config: ClientConfig,
    channel: Channel,
    key: Arc<Key>,
    breaker: Breaker,
    budget: RetryBudget,
    methods: Methods,
}

impl Client {
    /// Over `channel`, the endpoints of `config.target`. Make it after the metrics recorder is installed:
    /// handles are kept.
    pub fn new(config: ClientConfig, channel: Channel) -> Self {
        let breaker =
            Breaker::new(config.name, BreakerConfig { slow: config.slow(), ..BreakerConfig::default() });
        let key = Arc::new(Key::new(config.api_key.as_ref()));
        let (budget, methods) = (RetryBudget::default(), Methods::default());
        Self(Arc::new(Inner { config, channel, key, breaker, budget, methods }))
    }

    /// Has the metrics of these calls there with 0 before the first one is made.
    #[must_use]
    pub fn announcing(self, calls: &[Call]) -> Self {
        calls.iter().for_each(|call| drop(self.0.methods.of(call)));
        self
    }

    /// The breaker's state now.
    pub fn state(&self) -> State {
        self.0.breaker.state()
    }

    pub(super) fn key(&self) -> Arc<Key> {
        Arc::clone(&self.0.key)
    }

    pub(super) fn name(&self) -> &'static str {
        self.0.config.name
    }

    /// Makes a call: `attempt` calls the generated client over the channel that it is given, once for each
    /// attempt; it may add metadata of its own. `deadline` is the caller's, if it is shorter than the
    /// configured one. Decisions are told as events of the current span.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<Q, A, F, T>(
        &self,
        call: Call,
        message: Q,
        deadline: Option<Instant>,
        attempt: F,
    ) -> Result<Response<A>, CallError>
    where
        Q: Clone,
        F: Fn(Channel, Request<Q>) -> T,
        T: Future<Output = Result<Response<A>, Status>>,
    {
        let ours = Instant::now() + self.0.config.deadline;
        let by = deadline.map_or(ours, |theirs| theirs.min(ours));
        let method = self.0.methods.of(&call);
        let course = Course { inner: &self.0, method: &method, call, by, caller: Span::current() };
        let mut permit = course.admit()?;
        let (mut number, mut previous) = (1, None);
        loop {
            let (context, answer) =
                course.attempt(number, previous, &mut permit, message.clone(), &attempt).await;
            course.learn(permit, answer.as_ref().err());
            let failed = match answer {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let Some(next) = course.again(number, &failed).await else { return Err(failed.into()) };
            (permit, number, previous) = (next, number + 1, context);
        }
    }
}

impl From<Failed> for CallError {
    fn from(failed: Failed) -> Self {
        if failed.is_late() { Self::Deadline } else { Self::Failed(failed.status) }
    }
}

/// A call on its way.
struct Course<'a> {
    inner: &'a Inner,
    method: &'a Method,
    call: Call,
    by: Instant,
    caller: Span,
}

impl Course<'_> {
    /// Whether the call is made.
    fn admit(&self) -> Result<Permit, CallError> {
        if self.left() < SHORTEST {
            self.refuse(Refusal::Deadline);
            return Err(CallError::Deadline);
        }
        let Ok(permit) = self.inner.breaker.admit() else {
            self.refuse(Refusal::BreakerOpen);
            return Err(CallError::BreakerOpen);
        };
        // A probe finds out how things are: it is not held back by how they were.
        if !permit.is_probe() && !self.method.throttle.admit(Instant::now(), rand::random()) {
            self.method.throttled();
            self.caller.add_event("call throttled", &[]);
            return Err(CallError::Throttled);
        }
        self.inner.budget.earn();
        Ok(permit)
    }

    async fn attempt<Q, A, F, T>(
        &self,
        number: u32,
        previous: Option<TraceContext>,
        permit: &mut Permit,
        message: Q,
        attempt: &F,
    ) -> (Option<TraceContext>, Result<Response<A>, Failed>)
    where
        F: Fn(Channel, Request<Q>) -> T,
        T: Future<Output = Result<Response<A>, Status>>,
    {
        let slow = self.inner.breaker.slow();
        // A probe that is slow has failed: its place is the next one's, and its caller need not wait.
        let left = if permit.is_probe() { self.left().min(slow) } else { self.left() };
        let key = self.inner.key.presented();
        let made = Attempt { method: self.method, number, previous, left, slow, key };
        made.make(permit, self.inner.channel.clone(), message, attempt).await
    }

    /// What an attempt says of the other side.
    fn learn(&self, permit: Permit, failed: Option<&Failed>) {
        let accepted = failed.map_or(Some(true), Failed::accepted);
        if let Some(accepted) = accepted {
            self.method.throttle.answered(Instant::now(), accepted);
        }
        match failed.map_or(Health::Well, Failed::health) {
            Health::Well => {
                if permit.succeed() {
                    self.inner.methods.forget_refusals();
                }
            }
            Health::Ill => permit.fail(),
            Health::Silent => drop(permit),
        }
    }

    /// Waits until the call is to be made again, if it is.
    async fn again(&self, number: u32, failed: &Failed) -> Option<Permit> {
        let reason = failed.reason(self.call.repeatable)?;
        let wait = match self.wait(number, failed, reason) {
            Ok(wait) => wait,
            Err(withheld) => return self.withhold(withheld),
        };
        if !wait.is_zero() {
            sleep(wait).await;
        }
        let permit = self.inner.breaker.admit().ok().filter(|permit| !permit.is_probe());
        let Some(permit) = permit else { return self.withhold(Withheld::BreakerOpen) };
        self.method.retried(reason);
        let wait = (names::WAITED_MS, wait.as_millis().to_string());
        self.caller.add_event("call retried", &[(names::REASON, reason.as_str().to_owned()), wait]);
        Some(permit)
    }

    /// How long to wait for the next attempt.
    fn wait(&self, number: u32, failed: &Failed, reason: Reason) -> Result<Duration, Withheld> {
        if number >= MOST_ATTEMPTS {
            return Err(Withheld::Attempts);
        }
        if self.inner.breaker.state() != State::Closed {
            return Err(Withheld::BreakerOpen);
        }
        // What was not sent goes elsewhere at once: the channel has taken note of the endpoint.
        let at_once = reason == Reason::NotSent && number == 1;
        let jitter = if at_once { Duration::ZERO } else { backoff(number, rand::random()) };
        let wait = jitter.max(failed.retry_after().unwrap_or_default());
        if self.left() < wait + SHORTEST {
            return Err(Withheld::Deadline);
        }
        // What was not sent is no more for the other side to do, and so not paid for.
        if reason != Reason::NotSent && !self.inner.budget.spend() {
            return Err(Withheld::Budget);
        }
        Ok(wait)
    }

    fn left(&self) -> Duration {
        self.by.saturating_duration_since(Instant::now())
    }

    fn refuse(&self, reason: Refusal) {
        self.method.refused(reason);
        self.caller.add_event("call refused", &[(names::REASON, reason.as_str().to_owned())]);
    }

    fn withhold(&self, reason: Withheld) -> Option<Permit> {
        self.method.withheld(reason);
        self.caller.add_event("retry withheld", &[(names::REASON, reason.as_str().to_owned())]);
        None
    }
}

/// Exponential backoff with full jitter: uniform below 25 ms × 2^(attempt − 1), where `random` is uniform in
/// 0 to 1. Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).
fn backoff(attempt: u32, random: f64) -> Duration {
    BACKOFF.saturating_mul(1 << (attempt.clamp(1, 10).saturating_sub(1))).mul_f64(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_waits_less_than_the_ceiling_of_its_attempt() {
        for (attempt, ceiling) in [(1, 25), (2, 50), (3, 100), (u32::MAX, 12_800)] {
            assert_eq!(backoff(attempt, 1.0), Duration::from_millis(ceiling));
            assert_eq!(backoff(attempt, 0.0), Duration::ZERO);
        }
    }
}
