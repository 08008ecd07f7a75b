//! The provider `http`: one POST to a gateway for each attempt, behind a circuit breaker and a rate limit of our own.

use super::{
    Envelope,
    answer::{self, Health, Meaning},
};
use crate::{config::HttpGatewayConfig, notifications::model::Channel};
use bytes::Bytes;
use chassis_queue::{Attempt, Outcome};
use chassis_resilience::{Breaker, BreakerConfig};
use chassis_telemetry::{names, propagation};
use governor::{DefaultDirectRateLimiter, InsufficientCapacity, Quota, RateLimiter};
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt as _, Full};
use parking_lot::Mutex;
use reqwest::{Body, Client, Response, Url, redirect::Policy};
use std::{
    error::Error,
    io::{self, ErrorKind},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{task::yield_now, time::timeout};
use tracing::{Instrument as _, Span, field::Empty};

/// How much of an answer's body is read, for its connection can be used again only after its end.
const MAX_ANSWER: usize = 16 * 1024;
/// How long an attempt waits for the rate limit before its job is parked.
const RATE_PATIENCE: Duration = Duration::from_secs(1);
/// Parked jobs return spread over as long a time as the gateway has been down, within these bounds: the longer it
/// lasts, the less they ask, and a gateway that recovers does not get all of them at once.
const SPREAD_MIN: Duration = Duration::from_secs(1);
const SPREAD_MAX: Duration = Duration::from_secs(29);

/// Why a gateway's client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("provider http: {0}")]
    Client(#[from] reqwest::Error),
    #[error("provider http: {0}")]
    Setting(String),
}

/// A gateway and the connections to it.
pub struct HttpGateway {
    channel: Channel,
    client: Client,
    url: Url,
    timeout: Duration,
    /// For an attempt that a caller waits for.
    timeout_now: Duration,
    breaker: Breaker,
    limit: Option<DefaultDirectRateLimiter>,
    condition: Mutex<Condition>,
}

/// How the gateway has been doing.
#[derive(Default)]
struct Condition {
    down_since: Option<Instant>,
    /// The episode that a WARN line has opened: why no message gets to the gateway.
    episode: Option<Health>,
}

impl HttpGateway {
    /// Keeps up to `connections` open while idle, one for each attempt in flight. An attempt that a caller waits for takes
    /// at most `caller_waits`.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn new(
        channel: Channel,
        config: &HttpGatewayConfig,
        connections: usize,
        caller_waits: Duration,
    ) -> Result<Self, BuildError> {
        let url = config.url.clone().ok_or_else(|| BuildError::Setting("it has no address".to_owned()))?.0;
        let authorization = config.authorization().map_err(BuildError::Setting)?;
        let authorization = authorization.map(|value| (header::AUTHORIZATION, value));
        let mut builder = Client::builder()
            // The environment's proxy is meant for people's tools, not for patients' data.
            .no_proxy()
            // A redirect would carry a phone and a text to an address that nobody configured.
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .default_headers(authorization.into_iter().collect())
            .pool_max_idle_per_host(connections)
            .pool_idle_timeout(config.idle_timeout);
        if url.scheme() == "http" {
            // Without TLS the system's certificates need not be there.
            builder = builder.tls_certs_only([]);
        }
        // Half of 20 calls in ten seconds or five failures in a row: the breaker serves many workers or few.
        let breaker = BreakerConfig {
            window: Duration::from_secs(10),
            calls_min: 20,
            failures_in_a_row: 5,
            slow_after: config.timeout.mul_f64(0.8),
            ..BreakerConfig::default()
        };
        Ok(Self {
            channel,
            client: builder.build()?,
            url,
            timeout: config.timeout,
            timeout_now: config.timeout.min(caller_waits),
            breaker: Breaker::new(channel.as_str(), breaker),
            limit: config.rate.map(|rate| RateLimiter::direct(Quota::per_second(rate))),
            condition: Mutex::default(),
        })
    }

    /// See [`super::Gateway::ready`].
    ///
    /// # Errors
    /// The time after which another try is worth it.
    pub fn ready(&self, messages: usize) -> Result<(), Duration> {
        self.breaker.look().map_err(|open| self.back_in(open.retry_after))?;
        let Some(limit) = &self.limit else { return Ok(()) };
        let messages = u32::try_from(messages).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        // More than the limit has room for at once take all of it.
        let fits = limit.check_n(messages).or_else(|InsufficientCapacity(most)| {
            limit.check_n(NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN))
        });
        if matches!(fits, Ok(Ok(()))) { Ok(()) } else { Err(RATE_PATIENCE) }
    }

    /// See [`super::Gateway::paused`].
    pub fn paused(&self) -> bool {
        self.breaker.look().is_err()
    }

    /// Makes one attempt, unless the gateway is known to be down.
    pub async fn send(&self, envelope: &Envelope<'_>, attempt: &Attempt) -> Outcome {
        let mut permit = match self.breaker.admit() {
            Ok(permit) => permit,
            Err(open) => {
                let after = Some(self.back_in(open.retry_after));
                return Outcome::Snooze { reason: "breaker_open", after };
            }
        };
        // Where a caller waits, `ready` has taken the attempt's share of the limit.
        if let Some(limit) = self.limit.as_ref().filter(|_| !attempt.now)
            && timeout(RATE_PATIENCE, limit.until_ready()).await.is_err()
        {
            return Outcome::Snooze { reason: "rate_limited", after: Some(RATE_PATIENCE) };
        }
        let meaning = permit.watch(self.post(envelope, attempt)).await;
        permit.record(meaning.health.verdict());
        self.learn(&meaning)
    }

    /// Updates the gateway's condition, and parks what only the gateway's operators can mend.
    fn learn(&self, meaning: &Meaning) -> Outcome {
        let mut condition = self.condition.lock();
        match meaning.health {
            Health::Well => condition.down_since = None,
            _ => _ = condition.down_since.get_or_insert_with(Instant::now),
        }
        let channel = self.channel.as_str();
        let blocked = matches!(meaning.health, Health::Unreachable | Health::Misconfigured);
        let episode = blocked.then_some(meaning.health);
        let before = std::mem::replace(&mut condition.episode, episode);
        drop(condition);
        match (&meaning.outcome, episode) {
            (Outcome::Snooze { reason, .. }, Some(Health::Misconfigured)) => {
                if before != episode {
                    tracing::warn!(
                        channel,
                        reason,
                        "the gateway refuses us: check its address and credentials"
                    );
                }
                Outcome::Snooze { reason, after: Some(self.back_in(Duration::ZERO)) }
            }
            (outcome, _) => {
                if before.is_some() && episode.is_none() {
                    tracing::warn!(channel, "the gateway can be reached again");
                }
                outcome.clone()
            }
        }
    }

    fn back_in(&self, probe_in: Duration) -> Duration {
        let down = self.condition.lock().down_since.map_or(Duration::ZERO, |since| since.elapsed());
        let spread = down.clamp(SPREAD_MIN, SPREAD_MAX);
        probe_in + spread.mul_f64(rand::random_range(0.1..1.0))
    }

    /// The exchange under a CLIENT span.
    async fn post(&self, envelope: &Envelope<'_>, attempt: &Attempt) -> Meaning {
        // Strings and a closed enum: serialising them cannot fail.
        let body = Bytes::from(serde_json::to_vec(envelope).unwrap_or_default());
        let span = tracing::info_span!(
            "POST",
            otel.kind = "client",
            otel.status_code = Empty,
            http.request.method = "POST",
            http.response.status_code = Empty,
            server.address = self.url.host_str(),
            server.port = self.url.port_or_known_default().map(i64::from),
            error.type = Empty,
        );
        let exchange = async {
            match self.exchange(body.clone(), attempt).await {
                // A pooled connection was closed before the request was written: the next one is fresh.
                None => self.exchange(body, attempt).await.unwrap_or_else(not_sent),
                Some(meaning) => meaning,
            }
        };
        let meaning = exchange.instrument(span.clone()).await;
        if let Outcome::Retry { reason, .. }
        | Outcome::Snooze { reason, .. }
        | Outcome::Failed { reason }
        | Outcome::Unknown { reason } = meaning.outcome
        {
            // The conventions want a status as it is.
            span.record(names::ERROR_TYPE, reason.strip_prefix("status_").unwrap_or(reason));
            span.record(names::OTEL_STATUS_CODE, "ERROR");
        }
        meaning
    }

    /// `None` if a connection broke before anything was written to it.
    async fn exchange(&self, body: Bytes, attempt: &Attempt) -> Option<Meaning> {
        let mut headers = HeaderMap::new();
        propagation::inject(&mut headers);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        if let Ok(id) = HeaderValue::from_str(&attempt.id.to_string()) {
            headers.insert("idempotency-key", id);
        }
        // The client asks a body for its data once a connection stands and the head is on its way, so the first frame
        // separates what surely was not sent from what may have been.
        let written = Arc::new(AtomicBool::new(false));
        let mark = Arc::clone(&written);
        let body = Full::new(body).map_frame(move |frame| {
            mark.store(true, Ordering::Release);
            frame
        });
        let timeout = if attempt.now { self.timeout_now } else { self.timeout };
        let request =
            self.client.post(self.url.clone()).timeout(timeout).headers(headers).body(Body::wrap(body));
        // Lets the runtime learn of connections that the gateway has closed meanwhile, so that none of them is used.
        yield_now().await;
        match request.send().await {
            Ok(response) => {
                let status = response.status();
                Span::current().record("http.response.status_code", i64::from(status.as_u16()));
                let mut meaning = answer::meaning(status, response.headers(), self.channel == Channel::Push);
                let body = read(response).await;
                if let Outcome::Completed { receipt } = &mut meaning.outcome {
                    *receipt = answer::message_id(&body);
                }
                Some(meaning)
            }
            Err(error) => self.silence(&error, written.load(Ordering::Acquire)),
        }
    }

    /// The meaning of a call without an answer.
    fn silence(&self, error: &reqwest::Error, written: bool) -> Option<Meaning> {
        let unknown = |reason| Meaning { outcome: Outcome::Unknown { reason }, health: Health::Unwell };
        match (written, error.is_timeout()) {
            (true, true) => Some(unknown("timeout")),
            (true, false) => Some(unknown("connection_broken")),
            (false, timed_out) if timed_out || error.is_connect() => {
                let unreachable = Some(Health::Unreachable);
                if self.condition.lock().episode.replace(Health::Unreachable) != unreachable {
                    let reason = if timed_out { "timeout".to_owned() } else { self.fault(error) };
                    tracing::warn!(channel = self.channel.as_str(), reason, "no connection to the gateway");
                }
                let reason = if timed_out { "connect_timeout" } else { "connect_failed" };
                Some(Meaning { outcome: Outcome::Retry { reason, after: None }, health: Health::Unreachable })
            }
            (false, _) => None,
        }
    }

    /// The class of a connection's fault, and the cause at the end of the chain: neither has a path of the URL.
    fn fault(&self, error: &reqwest::Error) -> String {
        let (mut causes, mut next, mut kind) = (Vec::new(), error.source(), None);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            kind = cause.downcast_ref().map(io::Error::kind).or(kind);
            next = cause.source();
        }
        let is_in = |words| causes.iter().any(|cause| cause.contains(words));
        let class = match (self.url.scheme(), kind) {
            _ if is_in("dns error") => "dns",
            (_, Some(ErrorKind::ConnectionRefused)) => "refused",
            ("https", _) if !is_in("tcp connect error") => "tls",
            _ => "unreachable",
        };
        format!("{class}: {}", causes.last().map_or("", String::as_str))
    }
}

fn not_sent() -> Meaning {
    Meaning { outcome: Outcome::Retry { reason: "connection_broken", after: None }, health: Health::Unwell }
}

/// Reads the body, or its beginning. Whatever happens to it, the status has spoken.
async fn read(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= MAX_ANSWER {
            break;
        }
    }
    body
}

#[cfg(test)]
mod tests;
