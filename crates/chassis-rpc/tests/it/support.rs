//! A channel whose driver runs as long as it, and what its calls left behind: spans, metrics, lines.

use crate::server::{SERVICE, Server};
use chassis_rpc::{Channel, ClientConfig, Driver, Method};
use chassis_telemetry::{Exposition, Scoped, Service, Setup};
use conf::Conf;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use parking_lot::Mutex;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use tracing::{Instrument, info_span};

pub const DEADLINE: Duration = Duration::from_secs(2);
/// Off a dead endpoint within this.
pub const OFF: Duration = Duration::from_secs(1);
/// Back on one that has returned within this.
pub const BACK: Duration = Duration::from_secs(2);
/// For what never takes so long.
pub const LONG: Duration = Duration::from_secs(20);

const METHODS: &[Method] = &[Method::read(SERVICE, "Read"), Method::write(SERVICE, "Write")];
pub const READ: &str = "Read";
pub const WRITE: &str = "Write";
/// A method that is not listed.
pub const OTHER: &str = "Other";

/// A channel with its driver.
pub struct Client {
    pub channel: Channel,
    driver: JoinHandle<()>,
}

impl Client {
    pub fn to(addresses: &[SocketAddr]) -> Self {
        let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        Self::with(&format!("static://{}", list.join(",")), &[])
    }

    pub fn of(servers: &[Server]) -> Self {
        Self::to(&servers.iter().map(|server| server.address).collect::<Vec<_>>())
    }

    pub fn with(target: &str, settings: &[(&'static str, &str)]) -> Self {
        let settings = settings.iter().copied().chain([("TARGET", target)]);
        let config = ClientConfig::try_parse_from(["test"], settings).unwrap();
        let (channel, driver) = Channel::open("other", &config, METHODS).unwrap();
        Self::driven(channel, driver)
    }

    pub fn driven(channel: Channel, driver: Driver) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a driver belongs to no span")]
        let driver = tokio::spawn(driver);
        Self { channel, driver }
    }

    /// Makes a call; the deadline is its own.
    pub async fn call(&self, method: &str, deadline: Option<Duration>) -> Result<(), Status> {
        let mut request = Request::new("a question".to_owned());
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        self.send(method, request).await
    }

    pub async fn read(&self) -> Result<(), Status> {
        self.call(READ, None).await
    }

    pub async fn write(&self) -> Result<(), Status> {
        self.call(WRITE, None).await
    }

    pub async fn send(&self, method: &str, request: Request<String>) -> Result<(), Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await?;
        let path = format!("/{SERVICE}/{method}").parse().unwrap();
        grpc.unary(request, path, ProstCodec::<String, String>::default()).await.map(drop)
    }

    /// Makes calls until this server has answered one.
    pub async fn until_called(&self, server: &Server, within: Duration) {
        let (began, before) = (Instant::now(), server.calls());
        while server.calls() == before {
            if self.write().await.is_err() {
                tokio::task::yield_now().await;
            }
            assert!(began.elapsed() < within, "not called within {within:?}");
        }
    }

    pub async fn until_all_called(&self, servers: &[Server]) {
        for server in servers {
            self.until_called(server, LONG).await;
        }
    }

    /// Calls from several sides for a while, and returns what failed.
    pub async fn failures(&self, time: Duration) -> Vec<Status> {
        let end = Instant::now() + time;
        let callers = (0..4).map(|_| async {
            let mut failed = Vec::new();
            while Instant::now() < end {
                failed.extend(self.write().await.err());
            }
            failed
        });
        futures_util::future::join_all(callers).await.concat()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// An address where nobody listens.
pub fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// What a test's calls left behind.
pub struct Observed {
    pub spans: Vec<SpanData>,
    pub metrics: String,
    pub lines: Vec<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().extend(batch);
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a test under a span `caller`, on a thread with telemetry of its own.
pub fn observe(test: impl AsyncFnOnce()) -> Observed {
    let (kept, lines) = (Kept::default(), Lines::default());
    let setup = Setup {
        metrics: vec![chassis_rpc::METRICS, chassis_resilience::METRICS],
        ..Setup::new(Service::new("test", "1"))
    };
    let environment =
        |name: &str| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| "http://127.0.0.1:1".to_owned());
    let exporter = kept.clone();
    let scoped = Scoped::new(&setup, &environment, Box::new(lines.clone()), move |_| Ok(exporter.clone()));
    let scoped = scoped.unwrap();
    let entered = scoped.enter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test().instrument(info_span!("caller")));
    drop(entered);
    let metrics = scoped.telemetry.metrics().render(Exposition::Text);
    assert!(scoped.telemetry.shutdown(LONG));
    let text = String::from_utf8(lines.0.lock().clone()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let spans = std::mem::take(&mut *kept.0.lock());
    Observed { spans, metrics, lines }
}

impl Observed {
    /// The spans of attempts, in the order in which they began.
    pub fn attempts(&self) -> Vec<&SpanData> {
        let is_attempt = |span: &&SpanData| span.name.starts_with(SERVICE);
        let mut attempts: Vec<_> = self.spans.iter().filter(is_attempt).collect();
        attempts.sort_by_key(|span| span.start_time);
        attempts
    }

    pub fn caller(&self) -> &SpanData {
        self.spans.iter().find(|span| span.name == "caller").unwrap()
    }

    /// The events of the caller's span with this name: their reasons, where they have one.
    pub fn events(&self, name: &str) -> Vec<String> {
        let events = self.caller().events.iter().filter(|event| event.name == name);
        let reason = |event: &opentelemetry::trace::Event| text(&event.attributes, "reason");
        events.map(reason).collect()
    }

    /// The sum of the series of a metric that have these labels.
    pub fn count(&self, metric: &str, labels: &[(&str, &str)]) -> u64 {
        let matches = |line: &&str| {
            line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|(name, value)| line.contains(&format!("{name}=\"{value}\"")))
        };
        let values = self.metrics.lines().filter(matches).map(|line| line.rsplit(' ').next().unwrap());
        values.map(|value| value.parse::<f64>().unwrap() as u64).sum()
    }

    /// The messages of the lines at this level.
    pub fn lines(&self, level: &str) -> Vec<&str> {
        let of_level = self.lines.iter().filter(|line| line["level"] == level);
        of_level.map(|line| line["message"].as_str().unwrap()).collect()
    }
}

/// An attribute as text; empty without it.
pub fn text(attributes: &[opentelemetry::KeyValue], key: &str) -> String {
    let attribute = attributes.iter().find(|attribute| attribute.key.as_str() == key);
    attribute.map(|attribute| attribute.value.to_string()).unwrap_or_default()
}
