//! One call with all its attempts: whether it is made, and whether it is made again.

use crate::{
    attempt::Attempt,
    catalogue::{REFUSED, RETRIES, RETRIES_WITHHELD},
    channel::Inner,
    endpoints::Endpoint,
    method::MethodState,
    outcome::{Failed, Refusal, retry_after},
};
use bytes::Bytes;
use chassis_resilience::{Permit, State, Verdict};
use chassis_telemetry::{SpanExt, TraceContext, names};
use http::{HeaderMap, Response, request::Parts};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;
use tonic::{Status, body::Body};
use tracing::Span;

const ATTEMPTS_MAX: u32 = 3;
/// The ceiling of the wait before the second attempt; it doubles for each further one.
const BACKOFF: Duration = Duration::from_millis(25);
/// No answer comes back over a network in less time than this.
const SHORTEST: Duration = Duration::from_millis(1);

/// A call on its way.
pub(crate) struct Call<'a> {
    channel: &'a Inner,
    method: &'a MethodState,
    head: Parts,
    message: Bytes,
    repeatable: bool,
    deadline: Instant,
    caller: Span,
}

impl<'a> Call<'a> {
    /// The deadline is the caller's `grpc-timeout` (`Request::set_timeout`), if it is shorter than the configured
    /// one.
    pub fn new(channel: &'a Inner, method: &'a MethodState, head: Parts, message: Bytes) -> Self {
        let within = timeout(&head.headers).map_or(channel.deadline, |asked| asked.min(channel.deadline));
        let repeatable = method.repeatable(&head.headers);
        let (deadline, caller) = (Instant::now() + within, Span::current());
        Self { channel, method, head, message, repeatable, deadline, caller }
    }

    /// Makes the call. Decisions are metrics and events of the caller's span.
    pub async fn make(self) -> Result<Response<Body>, Status> {
        let mut permit = self.admit()?;
        let (mut number, mut previous, mut avoid) = (1, None, None);
        loop {
            let (context, endpoint, answer) =
                self.attempt(number, previous, avoid.as_ref(), &mut permit).await;
            self.learn(permit, answer.as_ref().err());
            let failed = match answer {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let Some(next) = self.retry(number, &failed, endpoint.as_ref()).await else {
                return Err(failed.status);
            };
            (permit, number, previous, avoid) = (next, number + 1, context, endpoint);
        }
    }

    /// Whether the call is made at all.
    fn admit(&self) -> Result<Permit, Refusal> {
        if self.left() < SHORTEST {
            return Err(self.refuse(Refusal::Deadline, "deadline"));
        }
        let Ok(permit) = self.channel.breaker.admit() else {
            return Err(self.refuse(Refusal::BreakerOpen, "breaker_open"));
        };
        // A probe finds out how the service is, whatever it was like before.
        if !permit.is_probe() && !self.method.throttle.admit(Instant::now(), rand::random()) {
            self.method.throttled();
            self.caller.add_event("call throttled", &[]);
            return Err(Refusal::Throttled);
        }
        self.channel.budget.earn();
        Ok(permit)
    }

    /// One attempt, with the trace context of its span and the endpoint it went to.
    async fn attempt(
        &self,
        number: u32,
        previous: Option<TraceContext>,
        avoid: Option<&Arc<Endpoint>>,
        permit: &mut Permit,
    ) -> (Option<TraceContext>, Option<Arc<Endpoint>>, Result<Response<Body>, Failed>) {
        let slow_after = self.channel.deadline / 4;
        // A slow probe has failed: its place belongs to the next one, and its caller need not wait.
        let left = if permit.is_probe() { self.left().min(slow_after) } else { self.left() };
        let chosen = match self.channel.choose(avoid).await {
            // There is no other endpoint.
            None if avoid.is_some() => self.channel.choose(None).await,
            chosen => chosen,
        };
        let endpoint = chosen.as_ref().map(|chosen| Arc::clone(&chosen.endpoint));
        let attempt = Attempt { method: self.method, number, previous, left, fair: left >= slow_after };
        let (context, answer) = attempt.make(self.request(left), self.channel, chosen, permit).await;
        (context, endpoint, answer)
    }

    /// The request of an attempt, with the time that is left.
    fn request(&self, left: Duration) -> http::Request<Body> {
        let message = http_body_util::Full::new(self.message.clone());
        let mut request = http::Request::from_parts(self.head.clone(), Body::new(message));
        let headers = request.headers_mut();
        // At most eight digits: microseconds for up to a minute, else milliseconds.
        let (value, unit) =
            if left < Duration::from_secs(60) { (left.as_micros(), 'u') } else { (left.as_millis(), 'm') };
        if let Ok(value) = format!("{value}{unit}").parse() {
            headers.insert(GRPC_TIMEOUT, value);
        }
        self.channel.authorize(headers);
        request
    }

    /// What an attempt says about the service.
    fn learn(&self, permit: Permit, failed: Option<&Failed>) {
        if let Some(accepted) = failed.map_or(Some(true), Failed::accepted) {
            self.method.throttle.answered(Instant::now(), accepted);
        }
        let probe = permit.is_probe();
        permit.record(failed.map_or(Verdict::Success, Failed::verdict));
        if probe && self.channel.breaker.state() == State::Closed {
            // The service is well again: its rejections are of the past.
            self.channel.methods.values().for_each(|method| method.throttle.reset(Instant::now()));
        }
    }

    /// Waits until the call is to be made again, if it is.
    async fn retry(&self, number: u32, failed: &Failed, endpoint: Option<&Arc<Endpoint>>) -> Option<Permit> {
        let reason = failed.retry(self.repeatable)?;
        if reason == "other_endpoint" && (number > 1 || !self.channel.endpoints.has_other(endpoint)) {
            return None;
        }
        let wait = match self.wait(number, failed, reason) {
            Ok(wait) => wait,
            Err(withheld) => return self.withhold(withheld),
        };
        if !wait.is_zero() {
            sleep(wait).await;
        }
        let permit = self.channel.breaker.admit().ok().filter(|permit| !permit.is_probe());
        let Some(permit) = permit else { return self.withhold("breaker_open") };
        self.method.count(&RETRIES, reason, 1);
        let waited = (names::WAITED_MS, wait.as_millis().to_string());
        self.caller.add_event("call retried", &[(names::REASON, reason.to_owned()), waited]);
        Some(permit)
    }

    /// How long to wait before the next attempt, or why there is none.
    fn wait(&self, number: u32, failed: &Failed, reason: &str) -> Result<Duration, &'static str> {
        if number >= ATTEMPTS_MAX {
            return Err("attempts");
        }
        if self.channel.breaker.state() != State::Closed {
            return Err("breaker_open");
        }
        // Another endpoint, or another connection, is tried at once.
        let at_once = number == 1 && reason != "unavailable";
        let jitter = if at_once { Duration::ZERO } else { backoff(number, rand::random()) };
        let wait = jitter.max(retry_after(&failed.status).unwrap_or_default());
        if self.left() < wait + SHORTEST {
            return Err("deadline");
        }
        // A call that was not sent was no work for the service, and costs nothing.
        if reason != "not_sent" && !self.channel.budget.spend() {
            return Err("budget");
        }
        Ok(wait)
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn refuse(&self, refusal: Refusal, reason: &'static str) -> Refusal {
        self.method.count(&REFUSED, reason, 1);
        self.caller.add_event("call refused", &[(names::REASON, reason.to_owned())]);
        refusal
    }

    fn withhold(&self, reason: &'static str) -> Option<Permit> {
        self.method.count(&RETRIES_WITHHELD, reason, 1);
        self.caller.add_event("retry withheld", &[(names::REASON, reason.to_owned())]);
        None
    }
}

const GRPC_TIMEOUT: &str = "grpc-timeout";

/// The caller's time limit: up to eight digits and a unit
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>). tonic wrote it, so it is well-formed.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let value = digits.parse::<u32>().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(3600) * value,
        "M" => Duration::from_secs(60) * value,
        "S" => Duration::from_secs(u64::from(value)),
        "m" => Duration::from_millis(u64::from(value)),
        "u" => Duration::from_micros(u64::from(value)),
        "n" => Duration::from_nanos(u64::from(value)),
        _ => return None,
    })
}

/// Exponential backoff with full jitter: uniform below 25 ms × 2^(attempt − 1); `random` is uniform in 0..1.
///
/// Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).
fn backoff(attempt: u32, random: f64) -> Duration {
    (BACKOFF * (1 << attempt.clamp(1, 10).saturating_sub(1))).mul_f64(random)
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

    #[test]
    fn the_time_limit_of_a_caller_is_read_as_tonic_writes_it() {
        for limit in [
            Duration::ZERO,
            Duration::from_micros(1500),
            Duration::from_secs(90),
            Duration::from_secs(86_400),
        ] {
            let mut request = tonic::Request::new(());
            request.set_timeout(limit);
            assert_eq!(timeout(&request.metadata().clone().into_headers()), Some(limit));
        }
        let mut headers = HeaderMap::new();
        assert_eq!(timeout(&headers), None);
        for text in ["", "S", "1", "soon", "é", "999999999999S"] {
            headers.insert(GRPC_TIMEOUT, http::HeaderValue::from_bytes(text.as_bytes()).unwrap());
            assert_eq!(timeout(&headers), None, "{text}");
        }
    }
}
