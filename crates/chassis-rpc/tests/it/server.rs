//! A gRPC server on a thread and a runtime of its own: it can be killed with its connections, made to hang as a
//! stopped process does, drained, and started again on its port. Its service does as it is told.

use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::mpsc as commands;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server as Transport;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_prost::ProstCodec;
use tonic_types::{ErrorDetails, StatusExt};

pub const SERVICE: &str = "test.v1.Scripted";

/// What is done with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Answer,
    Slow(Duration),
    Fail(Code),
    /// UNAVAILABLE, with the wish to be left alone for this long.
    Later(Duration),
    /// UNAVAILABLE on purpose.
    Shed,
    Hang,
    /// An answer that ends before its status, as behind a proxy that cut it off. Only as what is always done.
    NoStatus,
}

/// How a server is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub without_health: bool,
    /// Closes connections in good order (GOAWAY) at this age.
    pub connection_age: Option<Duration>,
}

#[derive(Default)]
struct State {
    /// Done once each, before `always`.
    next: VecDeque<Act>,
    always: Option<Act>,
    attempts: Vec<Attempt>,
}

/// A call as it came.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub at: Instant,
    pub metadata: MetadataMap,
}

impl Attempt {
    pub fn value(&self, name: &str) -> Option<&str> {
        self.metadata.get(name).map(|value| value.to_str().unwrap())
    }

    /// What `grpc-timeout` says, in milliseconds.
    pub fn timeout(&self) -> Duration {
        let value = self.value("grpc-timeout").unwrap();
        Duration::from_millis(value.strip_suffix('m').unwrap().parse().unwrap())
    }
}

enum Command {
    /// What the health service says.
    Tell(ServingStatus),
    /// To stand still until the sender is dropped.
    Hang(mpsc::Receiver<()>),
    /// To take no new calls, and to end with the last one.
    Drain,
}

pub struct Server {
    pub address: SocketAddr,
    options: Options,
    state: Arc<Mutex<State>>,
    running: Option<(commands::Sender<Command>, JoinHandle<()>)>,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    pub fn doing(act: Act) -> Self {
        let server = Self::start();
        server.always(act);
        server
    }

    pub fn start_with(options: Options) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        let mut server = Self { address, options, state: Arc::default(), running: None };
        server.start_again();
        server
    }

    /// On the same port, after a kill.
    pub fn start_again(&mut self) {
        let listener = TcpListener::bind(self.address).unwrap();
        listener.set_nonblocking(true).unwrap();
        self.address = listener.local_addr().unwrap();
        let (sender, receiver) = commands::channel(1);
        let (options, state) = (self.options, Arc::clone(&self.state));
        #[expect(clippy::disallowed_methods, reason = "the server belongs to no span")]
        let thread = thread::spawn(move || run(listener, options, state, receiver));
        self.running = Some((sender, thread));
    }

    /// Done with every call from now on.
    pub fn always(&self, act: Act) {
        let mut state = self.state.lock();
        state.next.clear();
        state.always = Some(act);
    }

    /// Done with the next calls, once each.
    pub fn next(&self, acts: &[Act]) {
        self.state.lock().next.extend(acts);
    }

    /// What the health service says.
    pub fn serves(&self, serving: bool) {
        self.command(Command::Tell(if serving { ServingStatus::Serving } else { ServingStatus::NotServing }));
    }

    pub fn attempts(&self) -> Vec<Attempt> {
        self.state.lock().attempts.clone()
    }

    pub fn calls(&self) -> usize {
        self.state.lock().attempts.len()
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
        self.command(Command::Hang(waits));
        resume
    }

    /// Stops in good order.
    pub fn drain(&self) {
        self.command(Command::Drain);
    }

    fn command(&self, command: Command) {
        assert!(self.running.as_ref().unwrap().0.try_send(command).is_ok());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run(
    listener: TcpListener,
    options: Options,
    state: Arc<Mutex<State>>,
    mut commands: commands::Receiver<Command>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let mut server = Transport::builder();
        if let Some(age) = options.connection_age {
            server = server.max_connection_age(age);
        }
        let (reporter, health) = tonic_health::server::health_reporter();
        let health = (!options.without_health).then_some(health);
        let router = server.add_optional_service(health).add_service(Scripted(state));
        let stop = CancellationToken::new();
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let served = router.serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
        #[expect(clippy::disallowed_methods, reason = "the server belongs to no span")]
        let served = tokio::spawn(served);
        while let Some(command) = commands.recv().await {
            match command {
                Command::Tell(status) => reporter.set_service_status("", status).await,
                // Blocks the one thread that there is.
                Command::Hang(waits) => drop(waits.recv()),
                Command::Drain => {
                    stop.cancel();
                    let _ = served.await;
                    return;
                }
            }
        }
    });
    runtime.shutdown_background();
}

#[derive(Clone)]
struct Scripted(Arc<Mutex<State>>);

impl NamedService for Scripted {
    const NAME: &'static str = SERVICE;
}

impl Service<http::Request<Body>> for Scripted {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let handler = Handler(Arc::clone(&self.0));
        let codec = ProstCodec::<String, String>::default();
        let cut = self.0.lock().always == Some(Act::NoStatus);
        Box::pin(async move {
            let answer = Grpc::new(codec).unary(handler, request).await;
            Ok(if cut { answer.map(|_| Body::empty()) } else { answer })
        })
    }
}

struct Handler(Arc<Mutex<State>>);

impl UnaryService<String> for Handler {
    type Response = String;
    type Future = BoxFuture<Response<String>, Status>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        let mut state = self.0.lock();
        state.attempts.push(Attempt { at: Instant::now(), metadata: request.metadata().clone() });
        let act = state.next.pop_front().or(state.always).unwrap_or(Act::Answer);
        Box::pin(act.done())
    }
}

impl Act {
    async fn done(self) -> Result<Response<String>, Status> {
        let unavailable = |details| Err(Status::with_error_details(Code::Unavailable, "as told", details));
        match self {
            Self::Answer | Self::NoStatus => {}
            Self::Slow(time) => tokio::time::sleep(time).await,
            Self::Fail(code) => return Err(Status::new(code, "as told")),
            Self::Later(time) => return unavailable(ErrorDetails::with_retry_info(Some(time))),
            Self::Shed => {
                let none = HashMap::<String, String>::new();
                return unavailable(ErrorDetails::with_error_info(chassis_rpc::DEGRADED, "test", none));
            }
            Self::Hang => std::future::pending().await,
        }
        Ok(Response::new("an answer".to_owned()))
    }
}
