//! A gRPC server in this process that is slow or fails as a test wants.

use epro_notify::proto::epro::{
    GetLatestReportRequest, GetLatestReportResponse, SubmitReportRequest, SubmitReportResponse,
    epro_service_server::{EproService, EproServiceServer},
};
use parking_lot::Mutex;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// Runs as long as the process, on a thread of its own.
pub struct Instance {
    pub address: SocketAddr,
    shared: Shared,
}

#[derive(Clone, Default)]
struct Shared {
    delay: Arc<Mutex<Duration>>,
    failure: Arc<Mutex<Option<tonic::Code>>>,
    calls: Arc<AtomicU64>,
}

impl Instance {
    /// Knows no report, and says so at once.
    pub fn start() -> Self {
        Self::at(([127, 0, 0, 1], 0).into())
    }

    /// On this address.
    pub fn at(address: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared::default();
        let served = shared.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(listener, served));
        });
        Self { address, shared }
    }

    /// Takes so long for each call.
    pub fn delay(&self, delay: Duration) {
        *self.shared.delay.lock() = delay;
    }

    /// Fails each call with this code.
    pub fn fail(&self, code: tonic::Code) {
        *self.shared.failure.lock() = Some(code);
    }

    /// Calls that have come so far.
    pub fn calls(&self) -> u64 {
        self.shared.calls.load(Relaxed)
    }
}

async fn serve(listener: std::net::TcpListener, shared: Shared) {
    let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener).unwrap());
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<EproServiceServer<Shared>>().await;
    let server = Server::builder().add_service(health).add_service(EproServiceServer::new(shared));
    server.serve_with_incoming(incoming.with_nodelay(Some(true))).await.unwrap();
}

#[tonic::async_trait]
impl EproService for Shared {
    async fn get_latest_report(
        &self,
        _: Request<GetLatestReportRequest>,
    ) -> Result<Response<GetLatestReportResponse>, Status> {
        self.calls.fetch_add(1, Relaxed);
        let (delay, failure) = (*self.delay.lock(), *self.failure.lock());
        tokio::time::sleep(delay).await;
        Err(Status::new(failure.unwrap_or(tonic::Code::NotFound), "as the test wants"))
    }

    async fn submit_report(
        &self,
        _: Request<SubmitReportRequest>,
    ) -> Result<Response<SubmitReportResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}
