//! An OTLP collector in this process, over gRPC, that keeps what it is sent, or misbehaves.

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::{ResourceSpans, Span},
};
use parking_lot::Mutex;
use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::sync::oneshot;
use tonic::{Code, Request, Response, Status, metadata::MetadataMap};

/// How a collector answers calls.
#[derive(Clone, Copy, Debug)]
pub enum Behaviour {
    Accept,
    /// Accepts, and keeps nothing.
    Forget,
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
            Behaviour::Accept | Behaviour::Forget | Behaviour::Fail(..) => {}
        }
        let mut state = self.0.lock();
        state.calls += 1;
        state.metadata.push(request.metadata().clone());
        if let Behaviour::Fail(times, code) = behaviour
            && state.calls <= times
        {
            return Err(Status::new(code, "as the test wants"));
        }
        if !matches!(behaviour, Behaviour::Forget) {
            state.received.extend(request.into_inner().resource_spans);
        }
        let partial = ExportTracePartialSuccess { rejected_spans, error_message: String::new() };
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success: (rejected_spans > 0).then_some(partial),
        }))
    }
}
