//! One call: whether it is made, its attempts, and whether there is another one.

use crate::catalogue::{REFUSED, RETRIES, RETRIES_WITHHELD, THROTTLED};
use crate::channel::{Inner, Method, MethodState};
use crate::endpoints::Endpoint;
use crate::outcome::{Failed, Meaning, NOT_SENT, OTHER_ENDPOINT, Refusal, UNAVAILABLE, retry_after};
use bytes::Bytes;
use chassis_resilience::{Permit, State, Verdict};
use chassis_telemetry::grpc::{code_name, record_client};
use chassis_telemetry::{SpanExt, TraceContext, names, propagation};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Collected, Full, Limited};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};
use tonic::body::Body;
use tonic::{Code, Status, transport};
use tower::ServiceExt;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

const ATTEMPTS_MAX: u32 = 3;
/// The ceiling of the wait before the second attempt; it doubles for each further one.
const BACKOFF: Duration = Duration::from_millis(25);
/// No answer comes back over a network in less time than this.
const SHORTEST: Duration = Duration::from_millis(1);
/// The longest answer to a unary call; generated clients take 4 MiB by default.
const ANSWER_MAX: usize = 16 << 20;
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// The whole answer to a unary call.
pub(crate) type Answer = Response<Collected<Bytes>>;

/// A call on its way. Decisions are metrics and events of the caller's span.
pub(crate) struct Call<'a> {
    channel: &'a Inner,
    method: &'a MethodState,
    head: Parts,
    message: Bytes,
    deadline: Instant,
    caller: Span,
}

/// An attempt that was made.
struct Attempt {
    number: u32,
    span: Option<TraceContext>,
    endpoint: Arc<Endpoint>,
    meaning: Meaning,
    answer: Result<Answer, Status>,
}

impl<'a> Call<'a> {
    /// The deadline is the caller's `grpc-timeout` (`Request::set_timeout`), if it is shorter than the configured
    /// one.
    pub fn new(channel: &'a Inner, method: &'a MethodState, head: Parts, message: Bytes) -> Self {
        let limit = time_limit(&head.headers).map_or(channel.deadline, |limit| limit.min(channel.deadline));
        Self { channel, method, head, message, deadline: Instant::now() + limit, caller: Span::current() }
    }

    pub async fn make(self) -> Result<Answer, Status> {
        let mut permit = self.admit()?;
        let mut last = None;
        loop {
            let attempt = self.attempt(last.as_ref(), &mut permit).await?;
            self.learn(permit, &attempt.meaning);
            let Some(next) = self.retry(&attempt).await else { return attempt.answer };
            (permit, last) = (next, Some(attempt));
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
            metrics::counter!(THROTTLED.name, names::LABEL_GRPC_METHOD => self.method.method.name)
                .increment(1);
            self.caller.add_event("call throttled", &[]);
            return Err(Refusal::Throttled);
        }
        self.channel.budget.earn();
        Ok(permit)
    }

    async fn attempt(&self, last: Option<&Attempt>, permit: &mut Permit) -> Result<Attempt, Refusal> {
        let slow_after = self.channel.deadline / 4;
        let chosen = timeout(self.left(), self.channel.endpoints.choose(last.map(|last| &last.endpoint)));
        let Ok(Some(endpoint)) = chosen.await else {
            permit.record(Verdict::Failure);
            return Err(self.refuse(Refusal::NoEndpoint, "no_endpoint"));
        };
        // A slow probe has failed: its place belongs to the next one, and its caller need not wait.
        let left = if permit.is_probe() { self.left().min(slow_after) } else { self.left() };
        let number = last.map_or(1, |last| last.number + 1);
        let mut record = Record::begin(self.method, number, &endpoint);
        last.and_then(|last| last.span).into_iter().for_each(|last| record.span.link_to(last));
        let span = record.span.trace_context();
        let mut flight = endpoint.load.begin();
        let exchange = exchange(endpoint.channel.clone(), self.request(left, &record.span));
        let exchange = permit.watch(exchange).instrument(record.span.clone());
        let answer = timeout(left, exchange).await.unwrap_or_else(|_| Err(Failed::late()));
        let failed = answer.as_ref().err();
        let meaning = failed.map_or_else(Meaning::default, |failed| failed.meaning(left >= slow_after));
        flight.outcome = meaning.load;
        record.code = failed.map_or(Code::Ok, |failed| failed.status.code());
        let answer = answer.map_err(|failed| self.channel.endpoints.suspect(&endpoint, failed));
        Ok(Attempt { number, span, endpoint, meaning, answer })
    }

    /// The request of an attempt, with the time that is left and its place in the trace.
    fn request(&self, left: Duration, span: &Span) -> Request<Body> {
        let message = Body::new(Full::new(self.message.clone()));
        let mut request = Request::from_parts(self.head.clone(), message);
        if let Ok(value) = HeaderValue::try_from(format!("{}m", left.as_millis())) {
            request.headers_mut().insert(GRPC_TIMEOUT, value);
        }
        propagation::inject_span(span, request.headers_mut());
        request
    }

    /// What an attempt says about the service.
    fn learn(&self, mut permit: Permit, meaning: &Meaning) {
        if let Some(accepted) = meaning.accepted {
            self.method.throttle.answered(Instant::now(), accepted);
        }
        permit.record(meaning.verdict);
        if permit.is_probe() && self.channel.breaker.state() == State::Closed {
            // The service is well again: its rejections are of the past.
            self.channel.methods.values().for_each(|method| method.throttle.reset(Instant::now()));
        }
    }

    /// Waits until the call is to be made again, if it is.
    async fn retry(&self, attempt: &Attempt) -> Option<Permit> {
        let reason = attempt.meaning.retry?;
        let elsewhere = || !self.channel.endpoints.healthy(Some(&attempt.endpoint)).is_empty();
        let allowed = match reason {
            NOT_SENT => true,
            // Once, and elsewhere: the fault may be this endpoint's alone.
            OTHER_ENDPOINT if attempt.number > 1 || !elsewhere() => false,
            _ => self.method.method.reads || self.head.headers.contains_key("idempotency-key"),
        };
        if !allowed {
            return None;
        }
        let withhold = |why: &'static str| {
            self.method.count(&RETRIES_WITHHELD, why, 1);
            self.caller.add_event("retry withheld", &[(names::REASON, why.to_owned())]);
            None
        };
        if attempt.number >= ATTEMPTS_MAX {
            return withhold("attempts");
        }
        if self.channel.breaker.state() != State::Closed {
            return withhold("breaker_open");
        }
        // Another endpoint, or another connection, is tried at once.
        let at_once = attempt.number == 1 && reason != UNAVAILABLE;
        let jitter = if at_once { Duration::ZERO } else { backoff(attempt.number, rand::random()) };
        let wait = jitter.max(attempt.answer.as_ref().err().and_then(retry_after).unwrap_or_default());
        if self.left() < wait + SHORTEST {
            return withhold("deadline");
        }
        // A call that was not sent was no work for the service, and costs nothing.
        if reason != NOT_SENT && !self.channel.budget.spend() {
            return withhold("budget");
        }
        if !wait.is_zero() {
            sleep(wait).await;
        }
        let permit = self.channel.breaker.admit().ok().filter(|permit| !permit.is_probe());
        let Some(permit) = permit else { return withhold("breaker_open") };
        self.method.count(&RETRIES, reason, 1);
        let waited = (names::WAITED_MS, wait.as_millis().to_string());
        self.caller.add_event("call retried", &[(names::REASON, reason.to_owned()), waited]);
        Some(permit)
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn refuse(&self, refusal: Refusal, reason: &'static str) -> Refusal {
        self.method.count(&REFUSED, reason, 1);
        self.caller.add_event("call refused", &[(names::REASON, reason.to_owned())]);
        refusal
    }
}

/// Sends the request and reads the whole answer, so that the status in its trailers is known.
async fn exchange(channel: transport::Channel, request: Request<Body>) -> Result<Answer, Failed> {
    let answer = channel.oneshot(request).await.map_err(|error| Failed::transport(&error))?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(|error| Failed::transport(&*error))?;
    let status = Status::from_header_map(&head.headers);
    match status.or_else(|| body.trailers().and_then(Status::from_header_map)) {
        Some(status) if status.code() == Code::Ok => Ok(Response::from_parts(head, body)),
        Some(status) => Err(Failed::answer(status)),
        None if head.status.is_server_error() => Err(Failed::answer(Status::unavailable("a proxy answered"))),
        None => Err(Failed::answer(Status::unknown("the answer has no status"))),
    }
}

/// The CLIENT span (<https://opentelemetry.io/docs/specs/semconv/rpc/grpc/>) and the latency of an attempt,
/// recorded however it ends.
struct Record<'a> {
    method: &'a MethodState,
    span: Span,
    started: Instant,
    /// `CANCELLED` if the caller leaves before the end.
    code: Code,
}

impl<'a> Record<'a> {
    fn begin(method: &'a MethodState, number: u32, endpoint: &Endpoint) -> Self {
        let address = endpoint.address.rsplit_once(':');
        let span = info_span!(
            "rpc",
            otel.kind = "client",
            otel.name = method.full,
            rpc.system.name = "grpc",
            rpc.method = method.full,
            rpc.response.status_code = Empty,
            server.address = address.map(|(host, _)| host.trim_matches(['[', ']'])),
            server.port = address.and_then(|(_, port)| port.parse::<u16>().ok()).map(i64::from),
            attempt = i64::from(number),
            otel.status_code = Empty,
            error.type = Empty,
        );
        Self { method, span, started: Instant::now(), code: Code::Cancelled }
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        let code = code_name(self.code);
        self.span.record(names::RPC_RESPONSE_STATUS_CODE, code);
        if self.code != Code::Ok {
            self.span.record(names::OTEL_STATUS_CODE, "ERROR");
            self.span.record(names::ERROR_TYPE, code);
        }
        let Method { service, name, .. } = self.method.method;
        // Inside the span, so that the histogram gets an exemplar.
        self.span.in_scope(|| record_client(service, name, self.code, self.started.elapsed().as_secs_f64()));
    }
}

/// The caller's time limit: up to eight digits and a unit
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>), as tonic writes it: for years of patience in
/// seconds. Others count as none.
fn time_limit(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    // From nanoseconds to seconds, each a thousand times the one before.
    let nanos = 1000_u64.pow("numS".find(unit)?.try_into().ok()?);
    Some(Duration::from_nanos(digits.parse::<u64>().ok()?.saturating_mul(nanos)))
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
        for limit in [0, 1_500, 90_000_000, 86_400_000_000].map(Duration::from_micros) {
            let mut request = tonic::Request::new(());
            request.set_timeout(limit);
            assert_eq!(time_limit(&request.metadata().clone().into_headers()), Some(limit));
        }
        let mut headers = HeaderMap::new();
        assert_eq!(time_limit(&headers), None);
        for text in ["", "S", "1", "soon", "é", "-1S"] {
            headers.insert(GRPC_TIMEOUT, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            assert_eq!(time_limit(&headers), None, "{text}");
        }
    }
}
