//! Lines in memory, and a collector in this process that does as it is told.
use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use chassis_telemetry::{Scoped, Setup};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::{ResourceSpans, Span},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};
use parking_lot::Mutex;
use serde_json::Value;
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

pub const LONG: Duration = Duration::from_secs(30);

/// An output that keeps what is written.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    pub fn all(&self) -> Vec<Value> {
        objects(&String::from_utf8(self.0.lock().clone()).unwrap())
    }

    pub fn named(&self, message: &str) -> Vec<Value> {
        self.all().into_iter().filter(|line| line["message"] == message).collect()
    }
}

/// Every line that is an object.
pub fn objects(text: &str) -> Vec<Value> {
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// An exporter that keeps what it is given.
#[derive(Clone, Debug, Default)]
pub struct Kept(pub Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().extend(batch);
        Ok(())
    }
}

impl Kept {
    pub fn named(&self, name: &str) -> SpanData {
        let all = self.0.lock();
        let found = all.iter().find(|span| span.name == name);
        found
            .unwrap_or_else(|| {
                panic!("no {name} in {:?}", all.iter().map(|span| &span.name).collect::<Vec<_>>())
            })
            .clone()
    }
}

/// Telemetry of a test's own: lines and spans are kept where the variables say so.
pub fn scoped(setup: &Setup, environment: &[(&str, &str)], lines: &Lines, kept: &Kept) -> Scoped {
    let get =
        |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let kept = kept.clone();
    Scoped::new(setup, &get, Box::new(lines.clone()), move |_| Ok(kept.clone())).unwrap()
}

/// What the collector does with a call.
#[derive(Clone, Copy, Debug)]
pub enum Does {
    Takes,
    Refuses,
    /// Takes all but these many of each message.
    TakesAllBut(i64),
    NeverAnswers,
}

#[derive(Clone)]
pub struct Collector {
    pub address: SocketAddr,
    does: Does,
    received: Arc<Mutex<Vec<ResourceSpans>>>,
}

impl Collector {
    #[expect(clippy::unused_async, reason = "it starts a task")]
    pub async fn start(does: Does) -> Self {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let collector = Self { address: incoming.local_addr().unwrap(), does, received: Arc::default() };
        let server =
            tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
        #[expect(clippy::disallowed_methods, reason = "the server has no span")]
        tokio::spawn(server.serve_with_incoming(incoming));
        collector
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn resources(&self) -> Vec<ResourceSpans> {
        self.received.lock().clone()
    }

    pub fn spans(&self) -> Vec<Span> {
        let all = self.received.lock();
        all.iter()
            .flat_map(|resource| &resource.scope_spans)
            .flat_map(|scope| &scope.spans)
            .cloned()
            .collect()
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        match self.does {
            Does::Refuses => return Err(Status::invalid_argument("no")),
            Does::NeverAnswers => std::future::pending().await,
            Does::Takes | Does::TakesAllBut(_) => {}
        }
        self.received.lock().extend(request.into_inner().resource_spans);
        let refused =
            |rejected_spans| ExportTracePartialSuccess { rejected_spans, error_message: "full".into() };
        let partial_success =
            if let Does::TakesAllBut(count) = self.does { Some(refused(count)) } else { None };
        Ok(Response::new(ExportTraceServiceResponse { partial_success }))
    }
}

/// A metric's value in Prometheus' text.
pub fn metric(text: &str, series: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
}

/// Ended spans, and what became of them, in Prometheus' text: exported, failed, dropped, queued.
pub fn account(text: &str) -> (u64, [u64; 4]) {
    let of = |outcome: &str| metric(text, &format!("telemetry_spans_total{{outcome=\"{outcome}\"}}"));
    let outcomes = [of("exported"), of("failed"), of("dropped"), metric(text, "telemetry_spans_queued")];
    (metric(text, "telemetry_spans_ended_total"), outcomes)
}

/// Waits until there is something.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < LONG, "never: {what}");
        std::thread::yield_now();
    }
}
