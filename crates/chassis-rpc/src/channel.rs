//! The channel that generated clients are put on.

use crate::call::Call;
use crate::catalogue::{REFUSED, RETRIES, RETRIES_WITHHELD, THROTTLED};
use crate::endpoints::Endpoints;
use crate::key::Key;
use crate::outcome::{Failed, Refusal};
use crate::{ClientConfig, Found, discovery};
use chassis_resilience::{Breaker, BreakerConfig, RetryBudget, State, Throttle};
use chassis_telemetry::catalogue::{Metric, Values};
use chassis_telemetry::{names, propagation};
use futures_util::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{Request, Response};
use http_body_util::BodyExt;
use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tonic::body::Body;
use tonic::{Status, transport};
use tower::{Service, ServiceExt};

/// A unary method of the other service, and whether it may be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
    pub(crate) reads: bool,
}

impl Method {
    /// A method that only reads: any call may be retried. `service` is its full name, as `package.v1.Name`.
    pub const fn read(service: &'static str, name: &'static str) -> Self {
        Self { service, name, reads: true }
    }

    /// A method that changes something: a call that may have arrived is retried only if it carries an
    /// `idempotency-key`.
    pub const fn write(service: &'static str, name: &'static str) -> Self {
        Self { service, name, reads: false }
    }
}

/// What the client keeps for a method.
pub(crate) struct MethodState {
    pub method: Method,
    /// `package.v1.Service/Method`, the name of its spans.
    pub full: String,
    pub throttle: Throttle,
}

impl MethodState {
    fn new(method: Method) -> Self {
        let full = format!("{}/{}", method.service, method.name);
        let state = Self { method, full, throttle: Throttle::new(Instant::now()) };
        // Every decision has its series from the start.
        for metric in [REFUSED, RETRIES, RETRIES_WITHHELD] {
            let [_, (_, Values::Closed(reasons))] = metric.labels else { continue };
            reasons.iter().for_each(|reason| state.count(&metric, reason, 0));
        }
        metrics::counter!(THROTTLED.name, names::LABEL_GRPC_METHOD => method.name).increment(0);
        state
    }

    pub fn count(&self, metric: &Metric, reason: &'static str, by: u64) {
        let labels = [(names::LABEL_GRPC_METHOD, self.method.name), (names::LABEL_REASON, reason)];
        metrics::counter!(metric.name, &labels).increment(by);
    }
}

/// A channel to a service, for generated clients. Cheap to clone.
#[derive(Clone)]
pub struct Channel(Arc<Inner>);

/// Keeps a channel's endpoints and key up to date; never ends.
pub type Driver = BoxFuture<'static, ()>;

/// Why a channel can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the authorities can't be used: {0}")]
    Tls(#[from] transport::Error),
    #[error("the system's DNS settings can't be used: {0}")]
    Dns(#[from] hickory_resolver::net::NetError),
}

pub(crate) struct Inner {
    pub endpoints: Endpoints,
    key: Key,
    pub deadline: Duration,
    pub breaker: Breaker,
    pub budget: RetryBudget,
    /// By path.
    pub methods: HashMap<String, MethodState>,
}

impl Channel {
    /// Opens a channel to the endpoints of `config.target`. `name` is what metrics, spans and log lines call the
    /// service. Spawn the [`Driver`] as an essential task. Call this after the metrics recorder is installed.
    ///
    /// # Errors
    /// TLS or DNS settings can't be used.
    pub fn open(
        name: &'static str,
        config: &ClientConfig,
        methods: &[Method],
    ) -> Result<(Self, Driver), OpenError> {
        let (target, resolver) = (config.target.clone(), discovery::resolver(&config.target)?);
        Self::open_with(name, config, methods, |found| discovery::follow(target, resolver, found))
    }

    /// The same with a discovery of one's own, such as one that polls Nacos (see `examples/nacos.rs`): a future
    /// that reports to [`Found`] for ever.
    ///
    /// # Errors
    /// TLS settings can't be used.
    pub fn open_with<D: Future<Output = ()> + Send + 'static>(
        name: &'static str,
        config: &ClientConfig,
        methods: &[Method],
        discovery: impl FnOnce(Found) -> D,
    ) -> Result<(Self, Driver), OpenError> {
        // Reports faults of TLS now.
        config.channel("localhost:1")?;
        // A quarter of the deadline, so that a service that hangs is known before the first calls run out of time.
        let breaker = BreakerConfig { slow_after: config.deadline / 4, ..BreakerConfig::default() };
        let methods = methods.iter().map(|method| MethodState::new(*method));
        let inner = Arc::new(Inner {
            endpoints: Endpoints::new(name, config.clone()),
            key: Key(config.api_key_file.clone().into()),
            deadline: config.deadline,
            breaker: Breaker::new(name, breaker),
            budget: RetryBudget::default(),
            methods: methods.map(|method| (format!("/{}", method.full), method)).collect(),
        });
        let channel = Self(Arc::clone(&inner));
        let (found, receiver) = Found::channel(name);
        let discovery = discovery(found);
        let driver = async move {
            tokio::join!(discovery, inner.endpoints.follow(receiver), inner.key.follow(name));
        };
        Ok((channel, Box::pin(driver)))
    }

    /// The state of the breaker.
    pub fn breaker(&self) -> State {
        self.0.breaker.state()
    }
}

impl Inner {
    async fn call(&self, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        if let Some(key) = self.key.header() {
            request.headers_mut().entry(AUTHORIZATION).or_insert(key);
        }
        if let Some(method) = self.methods.get(request.uri().path()) {
            let (head, body) = request.into_parts();
            // The one message of a unary call, kept for further attempts.
            let message = body.collect().await?.to_bytes();
            return Call::new(self, method, head, message).make().await.map(|answer| answer.map(Body::new));
        }
        let endpoint = self.endpoints.choose(None).await.ok_or(Refusal::NoEndpoint)?;
        propagation::inject(request.headers_mut());
        let answer = endpoint.channel.clone().oneshot(request).await;
        answer.map_err(|error| self.endpoints.suspect(&endpoint, Failed::transport(&error)))
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.call(request).await })
    }
}
