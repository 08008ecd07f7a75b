//! One call, however many attempts it takes.

use super::{Channel, ClientConfig};
use std::{sync::Arc, time::Instant};
use tonic::{Request, Response, Status};

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
}

impl Client {
    /// Over `channel`, the endpoints of `config.target`.
    pub fn new(config: ClientConfig, channel: Channel) -> Self {
        Self(Arc::new(Inner { config, channel }))
    }

    /// Makes a call: `attempt` calls the generated client over the channel that it is given, once for each
    /// attempt. `deadline` is the caller's, if it is shorter than the configured one.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<Q, A, F>(
        &self,
        _call: Call,
        message: Q,
        deadline: Option<Instant>,
        attempt: F,
    ) -> Result<Response<A>, CallError>
    where
        Q: Clone,
        F: AsyncFn(Channel, Request<Q>) -> Result<Response<A>, Status>,
    {
        let ours = Instant::now() + self.0.config.deadline;
        let deadline = deadline.map_or(ours, |theirs| theirs.min(ours));
        let attempted = attempt(self.0.channel.clone(), Request::new(message));
        match tokio::time::timeout_at(deadline.into(), attempted).await {
            Ok(answer) => answer.map_err(CallError::Failed),
            Err(_) => Err(CallError::Deadline),
        }
    }
}
