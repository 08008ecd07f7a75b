//! How HTTP tells of admission: 401, 403, 429, and the rate limit's headers on every answer.

use super::{Problem, problem::whole_seconds};
use crate::platform::{
    admission::Refused,
    limits::{Decision, config::PerClient},
};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::time::Duration;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// The answer to a call that is not let in.
pub(super) fn refuse(refused: Refused, decision: &Decision, limit: PerClient) -> Response {
    match refused {
        Refused::Limited => limited(decision.retry_after, limit).into_response(),
        Refused::Denied(denied) => denied.into_response(),
    }
}

/// 429: one request passes after `retry_after`.
pub(super) fn limited(retry_after: Duration, PerClient { rate, burst }: PerClient) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests")
        .detail(format!(
            "A client may send {burst} requests at once, and {rate} a second. Wait as long as Retry-After says; \
             one request passes then."
        ))
        .retry_after(retry_after)
}

/// The headers of an answer that reached the limiter; what is the same on all is made once.
///
/// `RateLimit` and `RateLimit-Policy` follow draft-ietf-httpapi-ratelimit-headers-10
/// (<https://www.ietf.org/archive/id/draft-ietf-httpapi-ratelimit-headers-10.html>): `q` requests in `w`
/// seconds, of which `r` are left, with more after `t` seconds. `w` is how long the burst takes to refill,
/// and both times are rounded up to whole seconds.
pub(super) struct LimitHeaders {
    limit: HeaderValue,
    policy: HeaderValue,
}

impl LimitHeaders {
    pub fn new(limit: PerClient) -> Self {
        let window = limit.burst.div_ceil(limit.rate.max(1));
        Self {
            limit: limit.burst.into(),
            policy: visible(format!("\"default\";q={};w={window}", limit.burst)),
        }
    }

    pub fn tell(&self, decision: &Decision, headers: &mut HeaderMap) {
        let (remaining, more) = (decision.remaining, whole_seconds(decision.more_after));
        headers.insert(LIMIT, self.limit.clone());
        headers.insert(REMAINING, remaining.into());
        headers.insert(POLICY, self.policy.clone());
        headers.insert(STATE, visible(format!("\"default\";r={remaining};t={more}")));
    }
}

fn visible(text: String) -> HeaderValue {
    // Quotes, letters and digits always are.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(limit: PerClient, remaining: u32, more_after: Duration) -> Vec<(String, String)> {
        let allowed = remaining > 0;
        let decision =
            Decision { allowed, remaining, retry_after: more_after, more_after, full_after: more_after };
        let mut headers = HeaderMap::new();
        LimitHeaders::new(limit).tell(&decision, &mut headers);
        let pair = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        let mut pairs: Vec<_> = headers.iter().map(pair).collect();
        pairs.sort();
        pairs
    }

    #[test]
    fn the_headers_are_those_of_the_draft() {
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let expected = [
            ("ratelimit", "\"default\";r=199;t=1"),
            ("ratelimit-policy", "\"default\";q=200;w=2"),
            ("x-ratelimit-limit", "200"),
            ("x-ratelimit-remaining", "199"),
        ];
        let limit = PerClient { rate: 100, burst: 200 };
        assert_eq!(told(limit, 199, Duration::from_millis(10)), expected.map(pair));
        let limit = PerClient { rate: 1_000_000, burst: 1 };
        assert_eq!(told(limit, 0, Duration::from_micros(1))[0].1, "\"default\";r=0;t=1");
        assert_eq!(told(limit, 0, Duration::from_micros(1))[1].1, "\"default\";q=1;w=1");
    }
}
