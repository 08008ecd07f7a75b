//! OTLP collectors in this process: one over gRPC that keeps what it is sent, or misbehaves, and one over HTTP that
//! answers with a status.

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::{ResourceSpans, Span},
};
use parking_lot::Mutex;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::sync::oneshot;
use tonic::{Code, Request, Response, Status, metadata::MetadataMap};

/// How a collector answers calls.
#[derive(Clone, Copy, Debug)]
pub enum Behaviour {
    Accept,
    /// Accepts after a while.
    Slow(Duration),
    /// Answers this many calls with an error, then accepts.
    Fail(usize, Code),
    /// Accepts, but rejects so many spans of each call.
    Reject(i64),
}

/// A collector that runs until it is dropped.
pub struct Collector {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

struct State {
    behaviour: Behaviour,
    calls: usize,
    metadata: Vec<MetadataMap>,
    received: Vec<ResourceSpans>,
}

struct Service(Arc<Mutex<State>>);

impl Collector {
    pub fn start(behaviour: Behaviour) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), behaviour)
    }

    /// A collector on an address that another one had.
    pub fn at(address: SocketAddr, behaviour: Behaviour) -> Self {
        let state = State { behaviour, calls: 0, metadata: Vec::new(), received: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let service = TraceServiceServer::new(Service(Arc::clone(&state)));
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let incoming = tokio::net::TcpListener::from_std(listener).unwrap();
                let incoming = tonic::transport::server::TcpIncoming::from(incoming);
                let server = tonic::transport::Server::builder().add_service(service);
                tokio::select! {
                    served = server.serve_with_incoming(incoming) => served.unwrap(),
                    _ = stopped => {}
                }
            });
        };
        let thread = thread::Builder::new().name("collector".to_owned()).spawn(serve).unwrap();
        Self { address, state, stop, thread }
    }

    /// Ends it with its connections in mid-call; returns how many spans it had accepted.
    pub fn stop(self) -> usize {
        drop(self.stop);
        self.thread.join().unwrap();
        let resources = std::mem::take(&mut self.state.lock().received);
        resources.iter().flat_map(|resource| &resource.scope_spans).map(|scope| scope.spans.len()).sum()
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that was accepted.
    pub fn received(&self) -> Vec<ResourceSpans> {
        self.state.lock().received.clone()
    }

    pub fn spans(&self) -> Vec<Span> {
        let scopes = self.received().into_iter().flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    pub fn calls(&self) -> usize {
        self.state.lock().calls
    }

    /// The metadata of each call.
    pub fn metadata(&self) -> Vec<MetadataMap> {
        self.state.lock().metadata.clone()
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let behaviour = self.0.lock().behaviour;
        let mut rejected_spans = 0;
        match behaviour {
            Behaviour::Slow(time) => tokio::time::sleep(time).await,
            Behaviour::Reject(spans) => rejected_spans = spans,
            Behaviour::Accept | Behaviour::Fail(..) => {}
        }
        let mut state = self.0.lock();
        state.calls += 1;
        state.metadata.push(request.metadata().clone());
        if let Behaviour::Fail(times, code) = behaviour
            && state.calls <= times
        {
            return Err(Status::new(code, "as the test wants"));
        }
        state.received.extend(request.into_inner().resource_spans);
        let partial = ExportTracePartialSuccess { rejected_spans, error_message: String::new() };
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success: (rejected_spans > 0).then_some(partial),
        }))
    }
}

/// Over HTTP/1.1: reads each call away and answers with one status. It runs as long as the process.
pub struct HttpCollector {
    pub address: SocketAddr,
    state: Arc<HttpState>,
}

struct HttpState {
    /// With it go further header lines.
    answer: Mutex<(u16, &'static str)>,
    refused: AtomicUsize,
}

impl HttpCollector {
    /// Accepts everything.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(HttpState { answer: Mutex::new((200, "")), refused: AtomicUsize::new(0) });
        let serving = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&serving);
                // The caller ends the connection.
                thread::spawn(move || state.serve(stream));
            }
        });
        Self { address, state }
    }

    /// Answers with this status from now on.
    pub fn answer(&self, status: u16) {
        self.answer_with(status, "");
    }

    /// The same with header lines, each of which ends with CRLF.
    pub fn answer_with(&self, status: u16, headers: &'static str) {
        *self.state.answer.lock() = (status, headers);
    }

    /// Calls that were not answered with 200.
    pub fn refused(&self) -> usize {
        self.state.refused.load(Relaxed)
    }
}

impl HttpState {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        loop {
            let (mut length, mut line) = (0, String::new());
            while reader.read_line(&mut line)? > 0 && line != "\r\n" {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
                line.clear();
            }
            if line.is_empty() {
                return Ok(());
            }
            reader.read_exact(&mut vec![0; length])?;
            let (status, headers) = *self.answer.lock();
            self.refused.fetch_add(usize::from(status != 200), Relaxed);
            write!(stream, "HTTP/1.1 {status} as the test wants\r\n{headers}content-length: 0\r\n\r\n")?;
        }
    }
}
