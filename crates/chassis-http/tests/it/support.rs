//! A small service, and a client of raw bytes.

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    routing::{get, post, post_service},
};
use chassis_http::{
    AuthConfig, Idempotent, Keys, Limits, LimitsConfig, PerClient, Problem, Scope, ServerConfig, TlsConfig,
    Valid, grpc, host_check, identify, layers, require,
    server::{self, Listener},
};
use chassis_telemetry::http::{metrics_layer, trace_layer};
use garde::Validate;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;
use serde::Deserialize;
use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, Semaphore},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_server::{Health, HealthServer},
};
use tower::ServiceBuilder;

/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(20);
/// Time-outs that a test can wait for.
pub const SHORT: Duration = Duration::from_millis(300);

static RECORDER: LazyLock<PrometheusHandle> =
    LazyLock::new(|| PrometheusBuilder::new().install_recorder().unwrap());
/// Tests that look at metrics without a label of their own run one at a time.
pub static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The sum of the series of a metric that have all these labels.
pub fn metric(name: &str, labels: &[&str]) -> f64 {
    let page = RECORDER.render();
    let series = page.lines().filter_map(|line| line.rsplit_once(' '));
    let named = |series: &str| series.split('{').next() == Some(name);
    let of_it =
        series.filter(|(series, _)| named(series) && labels.iter().all(|label| series.contains(label)));
    of_it.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
}

pub fn config() -> ServerConfig {
    ServerConfig {
        header_timeout: SHORT,
        body_timeout: SHORT,
        handler_timeout: SHORT,
        max_connections: 100,
        ..ServerConfig::default()
    }
}

/// A limit that no test reaches by accident.
pub fn wide() -> LimitsConfig {
    limited(1_000_000, 1_000_000)
}

pub fn limited(rate: u32, burst: u32) -> LimitsConfig {
    LimitsConfig { per_client: PerClient { rate, burst }, ..LimitsConfig::default() }
}

/// What handlers and tests meet at.
#[derive(Clone, Debug)]
pub struct Meeting {
    pub begun: Arc<Notify>,
    pub go_on: Arc<Semaphore>,
    /// The keys of requests to `/things`.
    pub keys: Arc<Mutex<Vec<Option<chassis_http::RequestKey>>>>,
}

impl Default for Meeting {
    fn default() -> Self {
        Self { begun: Arc::default(), go_on: Arc::new(Semaphore::new(0)), keys: Arc::default() }
    }
}

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct Thing {
    #[garde(length(chars, min = 1, max = 10))]
    #[serde(rename = "fullName")]
    full_name: String,
}

/// Everything that a service's `http.rs` stacks.
pub fn router(meeting: Meeting, config: &ServerConfig, keys: &Keys, limits: &LimitsConfig) -> Router {
    let waits = meeting.clone();
    let read = Router::new()
        .route("/things/{id}", get(async || "a thing"))
        .route("/large", get(async || "x".repeat(200_000)))
        .route("/slow", get(async || std::future::pending::<()>().await))
        .route(
            "/wait",
            get(async move || {
                waits.begun.notify_one();
                waits.go_on.acquire().await.unwrap().forget();
                "waited"
            }),
        )
        .route_layer(layers::deadlines(config))
        .route_layer(require(Scope::Read));
    let send = Router::new()
        .route(
            "/things",
            post(
                async move |Idempotent { key, body: Valid(Json(thing)) }: Idempotent<Valid<Json<Thing>>>| {
                    meeting.keys.lock().push(key);
                    (StatusCode::ACCEPTED, thing.full_name)
                },
            ),
        )
        .route("/slow", post(async || std::future::pending::<()>().await))
        .route("/panic", post(async || -> StatusCode { panic!("as the test wants") }))
        .route_layer(layers::deadlines(config))
        .route_layer(require(Scope::Send));
    let operate = Router::new()
        .route("/switch", post(async || "switched"))
        .route_layer(layers::deadlines(config))
        .route_layer(chassis_http::require_key_to_change(Scope::Operate));
    read.merge(send)
        .merge(operate)
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed)
        .layer(
            ServiceBuilder::new()
                .layer(trace_layer(|_| false))
                .layer(metrics_layer())
                .layer(layers::headers(config.tls.is_set()))
                .option_layer(layers::cors(&config.cors_origins))
                .layer(layers::catch_panic())
                .layer(DefaultBodyLimit::max(64 * 1024))
                .layer(host_check(keys.is_open()))
                .layer(identify(keys, limits))
                .layer(Limits::new(limits).http_layer()),
        )
}

pub struct Server {
    pub address: SocketAddr,
    pub meeting: Meeting,
    pub stop: CancellationToken,
    pub served: JoinHandle<()>,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(config(), Keys::open(), wide()).await
    }

    pub async fn with(config: ServerConfig, keys: Keys, limits: LimitsConfig) -> Self {
        let meeting = Meeting::default();
        let router = router(meeting.clone(), &config, &keys, &limits);
        Self::serving("http", router, &config, meeting).await
    }

    pub async fn serving(
        name: &'static str,
        router: Router,
        config: &ServerConfig,
        meeting: Meeting,
    ) -> Self {
        LazyLock::force(&RECORDER);
        let listener = bind(name, &config.tls).await;
        let (address, stop) = (listener.address().unwrap(), CancellationToken::new());
        let served = tokio::spawn(server::serve(listener, router, config, stop.clone()));
        Self { address, meeting, stop, served }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends one request, its line and headers, and gives all that is answered.
    pub async fn ask(&self, request: &str) -> Answer {
        let mut stream = self.connect().await;
        let (line, rest) = request.split_once("\r\n").unwrap();
        let request = format!("{line}\r\nHost: localhost\r\nConnection: close\r\n{rest}");
        stream.write_all(request.as_bytes()).await.unwrap();
        Answer::parse(&read_to_end(&mut stream).await)
    }

    pub async fn get(&self, path: &str, headers: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\n{headers}\r\n")).await
    }

    pub async fn post(&self, path: &str, headers: &str, body: &str) -> Answer {
        self.ask(&post_request(path, headers, body)).await
    }

    /// Stops it, and waits until the last connection is closed.
    pub async fn stop(self) {
        self.stop.cancel();
        timeout(LONG, self.served).await.unwrap().unwrap();
    }
}

pub fn post_request(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\n{headers}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

pub async fn bind(name: &'static str, tls: &TlsConfig) -> Listener {
    server::bind(name, "127.0.0.1:0".parse().unwrap(), tls).await.unwrap()
}

/// Everything until the other end closes.
pub async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    timeout(LONG, stream.read_to_end(&mut all)).await.unwrap().unwrap();
    all
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// Keys of these lines.
pub fn keys(lines: &[String]) -> Keys {
    // Counters are made with the keys.
    LazyLock::force(&RECORDER);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    std::fs::write(&path, lines.join("\n")).unwrap();
    AuthConfig { api_keys_file: Some(path) }.keys().unwrap()
}

/// The line of the key whose text is its name.
pub fn line(name: &str, scopes: &str) -> String {
    chassis_http::Key::of(name.parse().unwrap(), scopes.parse().unwrap(), name).line()
}

/// A service of gRPC: the name that is asked for says what happens.
#[derive(Clone, Debug)]
pub struct Sample;

pub const CHECK: &str = "/grpc.health.v1.Health/Check";

#[tonic::async_trait]
impl Health for Sample {
    type WatchStream = futures_util::stream::Empty<Result<HealthCheckResponse, tonic::Status>>;

    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, tonic::Status> {
        let deadline = request.extensions().get::<grpc::Deadline>().unwrap().0;
        match request.get_ref().service.as_str() {
            "panic" => panic!("as the test wants"),
            "slow" => std::future::pending().await,
            "problem" => Err(Problem::not_found("none").into()),
            _ => {
                let left = deadline.duration_since(std::time::Instant::now()).as_millis();
                Ok(tonic::Response::new(HealthCheckResponse { status: left as i32 }))
            }
        }
    }

    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, tonic::Status> {
        Err(tonic::Status::unimplemented("no streams here"))
    }
}

/// Everything that a service's `grpc.rs` stacks, but telemetry.
pub fn grpc_router(config: &ServerConfig, keys: &Keys, limits: &LimitsConfig, shared: &Limits) -> Router {
    let check = post_service(HealthServer::new(Sample)).route_layer(require(Scope::Read));
    let services = Router::new().route(CHECK, check).route_layer(grpc::unary(config));
    grpc::router(services.into()).layer(
        ServiceBuilder::new()
            .layer(grpc::catch_panic())
            .layer(grpc::only())
            .layer(host_check(keys.is_open()))
            .layer(identify(keys, limits))
            .layer(shared.grpc_layer()),
    )
}
