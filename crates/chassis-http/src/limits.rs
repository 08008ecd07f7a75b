//! The rate limit: tower_governor's GCRA, one bucket for each client, shared by HTTP and gRPC.

use crate::watch::blocking;
use crate::{Caller, Client, Decide, Gate, LimitsConfig, PerClient, Problem, metrics as names};
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use governor::middleware::StateInformationMiddleware;
use http::{HeaderName, StatusCode};
use metrics::Counter;
use std::{sync::Arc, time::Duration};
use tower_governor::governor::{GovernorConfig, GovernorConfigBuilder};
use tower_governor::key_extractor::KeyExtractor;
use tower_governor::{GovernorError, GovernorLayer};

/// By the [`Caller`] that `identify` has set.
#[derive(Clone, Copy, Debug)]
pub struct ByClient;

impl KeyExtractor for ByClient {
    type Key = Client;

    fn extract<T>(&self, request: &http::Request<T>) -> Result<Client, GovernorError> {
        let caller = request.extensions().get::<Caller>();
        caller.map(|caller| caller.client.clone()).ok_or(GovernorError::UnableToExtractKey)
    }
}

/// The buckets of all clients. Cheap to clone; all clones and layers share them.
///
/// Make it after the metrics recorder is installed, since handles are kept. Spawn [`Self::clean_up`], or every client
/// is remembered for ever.
#[derive(Clone)]
pub struct Limits {
    config: Arc<GovernorConfig<ByClient, StateInformationMiddleware>>,
    per_client: PerClient,
    cleanup_interval: Duration,
}

/// The layer of one surface: limits, then counts what it let on.
pub type LimitLayer<F> = (GovernorLayer<ByClient, StateInformationMiddleware, Body>, Gate<F>);

impl Limits {
    pub fn new(config: &LimitsConfig) -> Self {
        let LimitsConfig { per_client: per_client @ PerClient { rate, burst }, cleanup_interval, .. } =
            *config;
        // Rounded up, so that a rate that does not divide a second is never exceeded.
        let period = 1_000_000_000_u64.div_ceil(rate.max(1).into());
        let governor = GovernorConfigBuilder::default()
            .key_extractor(ByClient)
            .per_nanosecond(period)
            .burst_size(burst.max(1))
            .use_headers()
            .finish();
        #[expect(clippy::expect_used, reason = "neither the period nor the burst is 0")]
        let governor = governor.expect("a limit that is not 0");
        Self { config: Arc::new(governor), per_client, cleanup_interval }
    }

    /// For an HTTP router. Goes right inside `identify`.
    pub fn http_layer(&self) -> LimitLayer<impl Decide + use<>> {
        self.layer("http")
    }

    /// For a gRPC router, of the same buckets.
    pub fn grpc_layer(&self) -> LimitLayer<impl Decide + use<>> {
        self.layer("grpc")
    }

    /// Sets `rate_limit_clients`; call it on each scrape.
    pub fn measure(&self) {
        metrics::gauge!(names::RATE_LIMIT_CLIENTS).set(self.config.limiter().len() as f64);
    }

    /// Forgets clients whose buckets are full again, forever.
    pub async fn clean_up(self) {
        loop {
            tokio::time::sleep(self.cleanup_interval).await;
            let limiter = Arc::clone(self.config.limiter());
            // A million clients take long enough to hold up a worker of the runtime.
            blocking(move || {
                limiter.retain_recent();
                limiter.shrink_to_fit();
            })
            .await;
        }
    }

    fn layer(&self, surface: &'static str) -> LimitLayer<impl Decide + use<>> {
        let decisions = |decision: &'static str| metrics::counter!(names::RATE_LIMIT_DECISIONS, "decision" => decision, "surface" => surface);
        let (allowed, limited, per_client) = (decisions("allowed"), decisions("limited"), self.per_client);
        let governor = GovernorLayer::new(Arc::clone(&self.config))
            .error_handler(move |error| refuse(error, surface, per_client, &limited));
        let count = move |_: &mut Request| {
            allowed.increment(1);
            Ok(())
        };
        (governor, Gate(count))
    }
}

fn refuse(error: GovernorError, surface: &str, limit: PerClient, limited: &Counter) -> Response {
    let GovernorError::TooManyRequests { wait_time, headers } = error else {
        tracing::error!("the rate limit stands outside the layer that identifies callers");
        return answer(Problem::internal(), surface);
    };
    limited.increment(1);
    let PerClient { rate, burst } = limit;
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests")
        .detail(format!(
            "A client may send {burst} requests at once, and {rate} a second. Wait as long as Retry-After says; \
             one request passes then."
        ))
        // tower_governor rounds down to whole seconds, and a client that obeyed would come too early.
        .retry_after(Duration::from_secs(wait_time.saturating_add(1)));
    let mut response = answer(problem, surface);
    for name in ["x-ratelimit-limit", "x-ratelimit-remaining"].map(HeaderName::from_static) {
        if let Some(value) = headers.as_ref().and_then(|headers| headers.get(&name)) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

fn answer(problem: Problem, surface: &str) -> Response {
    if surface == "grpc" { tonic::Status::from(problem).into_http() } else { problem.into_response() }
}
