//! The channel that generated clients are put on.

use crate::{
    ClientConfig, Found, Method,
    call::Call,
    connect::Connector,
    discovery,
    endpoints::{Chosen, Endpoint, Endpoints},
    key::Key,
    load,
    method::MethodState,
    outcome::{Failed, Refusal},
    probe,
};
use chassis_resilience::{Breaker, BreakerConfig, RetryBudget, State};
use chassis_telemetry::TraceContext;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use http_body_util::BodyExt;
use std::{
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};
use tonic::{Status, body::Body, transport};
use tower::{Service, ServiceExt};

/// How long after the opening a call waits for the first endpoint; later calls wait for none.
const FIRST: Duration = Duration::from_secs(1);

/// A channel to a service, for generated clients. Cheap to clone.
#[derive(Clone)]
pub struct Channel(Arc<Inner>);

pub(crate) struct Inner {
    opened: Instant,
    pub endpoints: Arc<Endpoints>,
    pub key: Key,
    pub deadline: Duration,
    pub breaker: Breaker,
    pub budget: RetryBudget,
    /// By path.
    pub methods: HashMap<String, MethodState>,
}

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
        let discovery = discovery::of(&config.target)?;
        Self::open_with(name, config, methods, |found| discovery.follow(found))
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
        let connector = Connector::new(&config.tls, &config.target);
        // Reports faults of TLS now.
        connector.channel("localhost:1")?;
        let endpoints = Arc::new(Endpoints::new(name, connector));
        // A quarter of the deadline, so that a service that hangs is known before the first calls run out of time.
        let breaker = BreakerConfig { slow_after: config.deadline / 4, ..BreakerConfig::default() };
        let channel = Self(Arc::new(Inner {
            opened: Instant::now(),
            endpoints: Arc::clone(&endpoints),
            key: Key::new(config.api_key_file.as_ref()),
            deadline: config.deadline,
            breaker: Breaker::new(name, breaker),
            budget: RetryBudget::default(),
            methods: methods.iter().map(MethodState::new).map(|method| (method.path(), method)).collect(),
        }));
        let (found, receiver) = Found::channel(name);
        let discovery = discovery(found);
        let inner = Arc::clone(&channel.0);
        let driver = async move {
            tokio::join!(discovery, probe::follow(endpoints, receiver), inner.key.follow(name));
        };
        Ok((channel, Box::pin(driver)))
    }

    /// The state of the breaker.
    pub fn breaker(&self) -> State {
        self.0.breaker.state()
    }
}

impl Inner {
    async fn call(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let Some(method) = self.methods.get(request.uri().path()) else { return self.pass(request).await };
        let (head, body) = request.into_parts();
        // The one message of a unary call, kept for further attempts.
        let message = body.collect().await?.to_bytes();
        Call::new(self, method, head, message).make().await
    }

    /// Sends a call of a method that is not listed.
    async fn pass(&self, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        let Chosen { endpoint, channel, flight } =
            self.choose(None).await.ok_or_else(|| Status::from(Refusal::NoEndpoint))?;
        self.authorize(request.headers_mut());
        if let Some(context) = TraceContext::current() {
            context.inject(request.headers_mut());
        }
        let answer = channel.oneshot(request).await.map_err(|error| Failed::transport(&error, true));
        match &answer {
            Ok(_) => flight.end(load::Outcome::Answered),
            Err(failed) => {
                flight.end(failed.load());
                self.suspect(failed, &endpoint);
            }
        }
        answer.map_err(|failed| failed.status)
    }

    /// The endpoint for a call, unless none is healthy.
    pub async fn choose(&self, avoid: Option<&Arc<Endpoint>>) -> Option<Chosen> {
        let settled = &self.endpoints.settled;
        if !settled.is_cancelled() {
            let _ = timeout_at(self.opened + FIRST, settled.cancelled()).await;
        }
        self.endpoints.choose(avoid)
    }

    /// Presents the API key, unless the caller presents one of its own.
    pub fn authorize(&self, headers: &mut HeaderMap) {
        if let Some(key) = self.key.header() {
            headers.entry(AUTHORIZATION).or_insert(key);
        }
    }

    /// Takes out an endpoint that can't be connected to, and has one whose connection broke probed at once.
    pub fn suspect(&self, failed: &Failed, endpoint: &Endpoint) {
        use crate::outcome::Reach;
        match failed.reach {
            Reach::NoConnection => {
                self.endpoints.down(endpoint, "no connection");
                endpoint.probe_now.notify_one();
            }
            Reach::Broken => endpoint.probe_now.notify_one(),
            // Draining is not dead: the next call opens a new connection.
            Reach::Answered | Reach::Nobody | Reach::Draining | Reach::Late => {}
        }
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
