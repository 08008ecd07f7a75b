//! Another side of gRPC calls that does as it is told, and remembers what it was asked.

use epro_notify::platform::{
    grpc::{
        client::{Call, CallError, Channel, Client},
        status::{DEGRADED, DOMAIN},
    },
    telemetry::TRACEPARENT,
};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Context, Poll, Service, http},
    metadata::MetadataMap,
    server::{Grpc, NamedService, UnaryService},
    transport::{Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;
use tonic_types::{ErrorDetails, StatusExt};

/// A method that only reads.
pub const READ: Call = Call { service: "test.v1.Scripted", method: "Read", repeatable: true };
/// A method that must not be called twice.
pub const WRITE: Call = Call { service: "test.v1.Scripted", method: "Write", repeatable: false };

/// What is done with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Answer,
    /// After a while.
    Slow(Duration),
    Fail(Code),
    /// UNAVAILABLE, and not to be asked again so soon.
    Later(Duration),
    /// UNAVAILABLE on purpose.
    Shed,
    Hang,
}

/// The other side; ends when it is dropped.
#[derive(Clone)]
pub struct Scripted {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    _server: Arc<Ending>,
}

struct Ending(Mutex<Option<JoinHandle<()>>>);

#[derive(Default)]
struct State {
    /// Done once each, before `always`.
    next: VecDeque<Act>,
    always: Option<Act>,
    attempts: Vec<Attempt>,
    in_flight: usize,
    most_in_flight: usize,
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

    /// The trace id and the span id of its sender.
    pub fn sender(&self) -> (&str, &str) {
        let mut parts = self.value(TRACEPARENT.as_str()).unwrap().split('-').skip(1);
        (parts.next().unwrap(), parts.next().unwrap())
    }

    /// What `grpc-timeout` says.
    pub fn timeout(&self) -> Duration {
        let value = self.value("grpc-timeout").unwrap();
        let (number, unit) = value.split_at(value.len() - 1);
        let number = number.parse().unwrap();
        match unit {
            "n" => Duration::from_nanos(number),
            "u" => Duration::from_micros(number),
            "m" => Duration::from_millis(number),
            _ => panic!("{value}"),
        }
    }
}

impl Scripted {
    /// On a free port, on this runtime.
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let server = Server::builder().add_service(Served(Arc::clone(&state)));
        let incoming = TcpIncoming::from(listener);
        let server = tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
        Self { address, state, _server: Arc::new(Ending(Mutex::new(Some(server)))) }
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

    pub fn attempts(&self) -> Vec<Attempt> {
        self.state.lock().attempts.clone()
    }

    /// How many calls were here at once at most, since this was last asked.
    pub fn most_in_flight(&self) -> usize {
        let mut state = self.state.lock();
        let now = state.in_flight;
        std::mem::replace(&mut state.most_in_flight, now)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.lock().take().unwrap().abort();
    }
}

/// A wire to an address, whose connections can be cut with whatever is on them.
pub struct Wire {
    pub address: SocketAddr,
    connections: Arc<Mutex<JoinSet<()>>>,
}

impl Wire {
    pub async fn to(peer: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<Mutex<JoinSet<()>>>::default();
        let own = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                own.lock().spawn(async move {
                    let mut far = TcpStream::connect(peer).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { address, connections }
    }

    pub fn cut(&self) {
        self.connections.lock().abort_all();
    }
}

/// Asks it something.
pub async fn ask(client: &Client, call: Call, deadline: Option<Duration>) -> Result<(), CallError> {
    let deadline = deadline.map(|left| Instant::now() + left);
    let attempt = |channel: Channel, request: Request<String>| async move {
        let path = format!("/{}/{}", call.service, call.method);
        let mut grpc = tonic::client::Grpc::new(channel);
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let codec = ProstCodec::<String, String>::default();
        grpc.unary(request, path.parse().unwrap(), codec).await
    };
    client.call(call, "a question".to_owned(), deadline, attempt).await.map(drop)
}

#[derive(Clone)]
struct Served(Arc<Mutex<State>>);

impl NamedService for Served {
    const NAME: &'static str = READ.service;
}

impl Service<http::Request<Body>> for Served {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let state = Arc::clone(&self.0);
        let codec = ProstCodec::<String, String>::default();
        Box::pin(async move { Ok(Grpc::new(codec).unary(Handler(state), request).await) })
    }
}

struct Handler(Arc<Mutex<State>>);

impl UnaryService<String> for Handler {
    type Response = String;
    type Future = BoxFuture<Response<String>, Status>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        let here = Here::enter(&self.0, request.metadata().clone());
        Box::pin(async move { here.act().await })
    }
}

/// A call that is here, until it is answered or its caller leaves.
struct Here {
    state: Arc<Mutex<State>>,
    act: Act,
}

impl Here {
    fn enter(state: &Arc<Mutex<State>>, metadata: MetadataMap) -> Self {
        let mut told = state.lock();
        told.attempts.push(Attempt { at: Instant::now(), metadata });
        told.in_flight += 1;
        told.most_in_flight = told.most_in_flight.max(told.in_flight);
        let act = told.next.pop_front().or(told.always).unwrap_or(Act::Answer);
        Self { state: Arc::clone(state), act }
    }

    async fn act(self) -> Result<Response<String>, Status> {
        match self.act {
            Act::Answer => {}
            Act::Slow(time) => tokio::time::sleep(time).await,
            Act::Fail(code) => return Err(Status::new(code, "as told")),
            Act::Later(time) => return Err(refusal(ErrorDetails::with_retry_info(Some(time)))),
            Act::Shed => {
                let details =
                    ErrorDetails::with_error_info(DEGRADED, DOMAIN, HashMap::<String, String>::new());
                return Err(refusal(details));
            }
            Act::Hang => std::future::pending().await,
        }
        Ok(Response::new("an answer".to_owned()))
    }
}

fn refusal(details: ErrorDetails) -> Status {
    Status::with_error_details(Code::Unavailable, "as told", details)
}

impl Drop for Here {
    fn drop(&mut self) {
        self.state.lock().in_flight -= 1;
    }
}
