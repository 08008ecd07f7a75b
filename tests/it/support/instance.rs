//! A gRPC server on a thread and a runtime of its own, so that it can be killed with its connections, made to
//! hang as a stopped process does, and started again on its port.

use epro_notify::{
    platform::tls::TlsConfig,
    proto::epro::{
        GetLatestReportRequest, GetLatestReportResponse, SubmitReportRequest, SubmitReportResponse,
        epro_service_server::{EproService, EproServiceServer},
    },
};
use parking_lot::Mutex;
use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::sync::mpsc as commands;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status,
    transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming},
};
use tonic_health::ServingStatus;

/// How calls are answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Behaviour {
    pub delay: Duration,
    pub fails: bool,
    pub says_not_serving: bool,
    /// Knows no health service.
    pub without_health: bool,
}

/// What outlives a start.
#[derive(Clone, Default)]
struct Shared {
    behaviour: Arc<Mutex<Behaviour>>,
    calls: Arc<AtomicU64>,
}

/// What a running one is told.
enum Command {
    /// To stand still until the other side is dropped.
    Hang(mpsc::Receiver<()>),
    /// To take no new call, and to end with the last one that it has.
    Stop,
}

pub struct Instance {
    pub address: SocketAddr,
    shared: Shared,
    tls: Option<TlsConfig>,
    running: Option<(commands::Sender<Command>, JoinHandle<()>)>,
}

impl Instance {
    pub fn start() -> Self {
        Self::behaving(Behaviour::default())
    }

    pub fn behaving(behaviour: Behaviour) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), behaviour, None)
    }

    pub fn start_at(address: SocketAddr, behaviour: Behaviour, tls: Option<TlsConfig>) -> Self {
        let shared = Shared { behaviour: Arc::new(Mutex::new(behaviour)), ..Shared::default() };
        let mut instance = Self { address, shared, tls, running: None };
        instance.start_again();
        instance
    }

    /// On the same port, after a kill.
    pub fn start_again(&mut self) {
        let listener = TcpListener::bind(self.address).unwrap();
        listener.set_nonblocking(true).unwrap();
        self.address = listener.local_addr().unwrap();
        let (sender, receiver) = commands::channel(1);
        let (shared, tls) = (self.shared.clone(), self.tls.clone());
        let thread = thread::spawn(move || run(listener, shared, tls, receiver));
        self.running = Some((sender, thread));
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock() = behaviour;
    }

    /// Calls that have come so far.
    pub fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }

    /// Closes its listener and its connections at once.
    pub fn kill(&mut self) {
        if let Some((sender, thread)) = self.running.take() {
            drop(sender);
            thread.join().unwrap();
        }
    }

    /// Stands still, with its listener and its connections open, until what is returned is dropped.
    pub fn hang(&self) -> mpsc::SyncSender<()> {
        let (resume, waits) = mpsc::sync_channel(0);
        self.tell(Command::Hang(waits));
        resume
    }

    /// Stops in order, while it answers what it has taken.
    pub fn stop(&self) {
        self.tell(Command::Stop);
    }

    fn tell(&self, command: Command) {
        assert!(self.running.as_ref().unwrap().0.try_send(command).is_ok());
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run(listener: TcpListener, shared: Shared, tls: Option<TlsConfig>, mut told: commands::Receiver<Command>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let mut server = Server::builder();
        if let Some(files) = tls {
            let read = |path| std::fs::read(path).unwrap();
            let identity = Identity::from_pem(read(files.cert_file), read(files.key_file));
            server = server.tls_config(ServerTlsConfig::new().identity(identity)).unwrap();
        }
        let behaviour = *shared.behaviour.lock();
        let health = (!behaviour.without_health).then(|| {
            let (reporter, service) = tonic_health::server::health_reporter();
            tokio::spawn(report(reporter, shared.clone()));
            service
        });
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let router = server.add_optional_service(health).add_service(EproServiceServer::new(shared));
        let stop = CancellationToken::new();
        let served = router.serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
        let served = tokio::spawn(served);
        while let Some(command) = told.recv().await {
            match command {
                // Blocks the one thread that there is.
                Command::Hang(waits) => drop(waits.recv()),
                Command::Stop => stop.cancel(),
            }
            if stop.is_cancelled() {
                break;
            }
        }
        if stop.is_cancelled() {
            let _ = served.await;
        }
    });
    runtime.shutdown_background();
}

/// Says how it is, as its behaviour wants.
async fn report(reporter: tonic_health::server::HealthReporter, shared: Shared) {
    loop {
        let status = match shared.behaviour.lock().says_not_serving {
            true => ServingStatus::NotServing,
            false => ServingStatus::Serving,
        };
        reporter.set_service_status("", status).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tonic::async_trait]
impl EproService for Shared {
    async fn get_latest_report(
        &self,
        _: Request<GetLatestReportRequest>,
    ) -> Result<Response<GetLatestReportResponse>, Status> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let behaviour = *self.behaviour.lock();
        tokio::time::sleep(behaviour.delay).await;
        if behaviour.fails {
            return Err(Status::unavailable("as the test wants"));
        }
        Err(Status::not_found("as ever"))
    }

    async fn submit_report(
        &self,
        _: Request<SubmitReportRequest>,
    ) -> Result<Response<SubmitReportResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}
