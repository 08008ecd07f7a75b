//! The provider `http`: one POST to a gateway for each attempt.
//!
//! What the gateway's answer means is in [`answer`]; what its silence means depends on whether the
//! request had been written, which [`watched`] knows.

mod answer;
pub use answer::outcome as meaning_of_answer;
#[cfg(test)]
mod tests;
mod watched;

use super::{Letter, guard::Guard};
use crate::{
    notify::payload::Payload,
    platform::{
        queue::Outcome,
        telemetry::{SpanExt, TraceContext},
    },
};
use reqwest::{Body, Client, Response, Url, redirect::Policy};
use serde_json::json;
use std::time::Duration;
use tracing::{Instrument, Span, field::Empty};
use watched::{Watched, Written};

/// How much of an answer is read, so that its connection can serve again; it is not looked at.
const MAX_ANSWER: usize = 16 * 1024;
/// Below the idle time-outs of usual gateways: a request into a connection that is just being closed
/// may have been read, so its outcome is unknown.
const IDLE: Duration = Duration::from_secs(15);

/// Why a gateway's client could not be made, as without the system's certificates.
#[derive(Debug, thiserror::Error)]
#[error("provider http: {0}")]
pub struct BuildError(#[from] reqwest::Error);

/// A gateway and the connections to it.
pub struct Http {
    client: Client,
    url: Url,
    timeout: Duration,
    guard: Guard,
}

impl Http {
    /// `timeout` is for one attempt; `connections` are kept open while idle, one for each delivery at once.
    pub fn new(url: Url, timeout: Duration, connections: usize, guard: Guard) -> Result<Self, BuildError> {
        let mut builder = Client::builder()
            // The environment's proxy is meant for people's tools, not for patients' data.
            .no_proxy()
            // A redirect would carry a phone and a text to whom nobody configured.
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .pool_max_idle_per_host(connections)
            .pool_idle_timeout(IDLE);
        if url.scheme() == "http" {
            // Nothing to verify: the system's certificates need neither be there nor be loaded.
            builder = builder.tls_certs_only([]);
        }
        Ok(Self { client: builder.build()?, url, timeout, guard })
    }

    /// As [`Guard::ready`].
    pub fn ready(&self) -> Result<(), Duration> {
        self.guard.ready()
    }

    /// One attempt, unless the gateway is known to be down.
    pub async fn send(&self, letter: &Letter<'_>) -> Outcome {
        let Some(body) = body(letter) else { return Outcome::Dead { reason: "no_contact" } };
        self.guard.call(self.attempt(letter, body)).await
    }

    /// Makes it under a CLIENT span, in at most the configured time-out.
    async fn attempt(&self, letter: &Letter<'_>, body: Vec<u8>) -> Outcome {
        let span = tracing::info_span!(
            "POST",
            "otel.kind" = "client",
            "http.request.method" = "POST",
            "server.address" = self.url.host_str(),
            "server.port" = self.url.port_or_known_default(),
            "http.response.status_code" = Empty,
            "error.type" = Empty,
            "otel.status_code" = Empty,
        );
        let context = span.trace_context();
        let outcome = self.exchange(letter, body, context).instrument(span.clone()).await;
        if let Outcome::Retry { reason, .. }
        | Outcome::Parked { reason, .. }
        | Outcome::Dead { reason }
        | Outcome::Unknown { reason } = &outcome
        {
            span.record("error.type", reason);
            span.record("otel.status_code", "ERROR");
        }
        outcome
    }

    async fn exchange(&self, letter: &Letter<'_>, body: Vec<u8>, context: Option<TraceContext>) -> Outcome {
        let (body, written) = Watched::new(body);
        let mut request = self
            .client
            .post(self.url.clone())
            .timeout(self.timeout)
            .header("content-type", "application/json")
            .header("idempotency-key", letter.id.to_string())
            .body(Body::wrap(body));
        if let Some(context) = context {
            request = request.header("traceparent", context.to_string());
        }
        match request.send().await {
            Err(error) => silence(&error, &written),
            Ok(response) => {
                let status = response.status();
                Span::current().record("http.response.status_code", i64::from(status.as_u16()));
                let outcome = answer::outcome(status, response.headers());
                drain(response).await;
                outcome
            }
        }
    }
}

/// What it means that no answer came.
fn silence(error: &reqwest::Error, written: &Written) -> Outcome {
    match (written.any(), error.is_timeout()) {
        (true, true) => Outcome::Unknown { reason: "timeout" },
        (true, false) => Outcome::Unknown { reason: "connection_broken" },
        (false, true) => Outcome::Retry { reason: "connect_timeout", after: None },
        (false, false) => Outcome::Retry { reason: "connect_failed", after: None },
    }
}

/// Reads the answer's body away. Whatever happens to it, the status has spoken.
async fn drain(mut response: Response) {
    let mut left = MAX_ANSWER;
    while let Ok(Some(chunk)) = response.chunk().await {
        left = left.saturating_sub(chunk.len());
        if left == 0 {
            break;
        }
    }
}

/// The body of the contract; `None` without an address to send to.
fn body(letter: &Letter<'_>) -> Option<Vec<u8>> {
    let id = letter.id.to_string();
    let body = match (letter.payload, letter.phone) {
        (Payload::Sms { message, .. }, Some(phone)) => {
            json!({ "id": id, "to": phone.as_str(), "text": message.as_str() })
        }
        (Payload::Push { title, message, device: Some(device), .. }, _) => json!({
            "id": id,
            "platform": device.platform().as_str(),
            "token": device.token(),
            "title": title.as_str(),
            "text": message.as_str(),
        }),
        _ => return None,
    };
    Some(body.to_string().into_bytes())
}
