//! A server of the platform's own stack with a small router, and a caller that writes raw bytes.

use epro_notify::platform::{
    auth::Scope,
    http::{HttpConfig, IdempotencyHeader, JsonBody, Listener, Problem, Routes, Stack, bind, serve},
    task,
    tls::Tls,
};
use http::StatusCode;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, Semaphore},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes: what is not there by then never comes.
pub const LONG: Duration = Duration::from_secs(20);

/// Time-outs that a test can wait for.
pub fn config() -> HttpConfig {
    HttpConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        header_timeout: Duration::from_millis(300),
        body_timeout: Duration::from_millis(300),
        handler_timeout: Duration::from_millis(300),
        max_connections: 100,
        tls: None,
    }
}

/// What handlers and tests meet at.
#[derive(Clone, Default)]
pub struct Meeting {
    /// Told when a handler at `/wait` has begun.
    pub begun: Arc<Notify>,
    /// A permit lets one handler at `/wait` go on.
    pub go_on: GoOn,
}

/// A semaphore that begins without a permit.
#[derive(Clone)]
pub struct GoOn(pub Arc<Semaphore>);

impl Default for GoOn {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub meeting: Meeting,
    pub stop: CancellationToken,
    pub served: JoinHandle<()>,
}

impl Server {
    pub async fn start(config: HttpConfig) -> Self {
        Self::start_trusting(config, true).await
    }

    /// Whether its callers are trusted proxies.
    pub async fn start_trusting(config: HttpConfig, trusted: bool) -> Self {
        let meeting = Meeting::default();
        let listener = bind(config.listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stack = Stack::new(routes(meeting.clone()), &config, None).unwrap();
        let tls = config.tls.as_ref().map(|tls| Tls::open("http", tls).unwrap());
        let listener = Listener::new("http", listener, tls);
        let served = task::spawn(serve(listener, stack, config.limits(), move |_| trusted, stop.clone()));
        Self { address, meeting, stop, served }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends one request on a connection of its own and returns all that is answered.
    pub async fn ask(&self, request: &str) -> Answer {
        let mut stream = self.connect().await;
        let head_end = request.find("\r\n").unwrap() + 2;
        let (line, rest) = request.split_at(head_end);
        stream
            .write_all(format!("{line}Host: test\r\nConnection: close\r\n{rest}").as_bytes())
            .await
            .unwrap();
        Answer::parse(&read_to_end(&mut stream).await)
    }

    /// Stops it, and waits until all is drained.
    pub async fn stop(self) {
        self.stop.cancel();
        timeout(LONG, self.served).await.unwrap().unwrap();
    }
}

/// Everything until the other end closes.
pub async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    timeout(LONG, stream.read_to_end(&mut all)).await.unwrap().unwrap();
    all
}

/// An answer of a whole connection.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let named =
            |line: &&str| line.split(':').next().is_some_and(|found| found.eq_ignore_ascii_case(name));
        self.head.lines().skip(1).find(named).and_then(|line| line.split_once(": ")).map(|(_, value)| value)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// A request with a JSON body.
pub fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// A small router: answers, reads a body, panics, never ends, waits to be told.
pub fn routes(meeting: Meeting) -> Routes {
    Routes::new()
        .get("/things/{id}", Scope::Read, async || "a thing")
        .post("/things", Scope::Send, make)
        .post("/panic", Scope::Send, async || -> StatusCode { panic!("as the test wants") })
        .get("/slow", Scope::Read, async || std::future::pending::<()>().await)
        .get("/wait", Scope::Read, wait)
        .with_state(meeting)
}

async fn make(_key: IdempotencyHeader, body: JsonBody) -> Result<StatusCode, Problem> {
    let mut fields = body.fields()?;
    let name = fields.required::<String>("name");
    fields.finish_with((name,))?;
    Ok(StatusCode::ACCEPTED)
}

async fn wait(axum::extract::State(meeting): axum::extract::State<Meeting>) -> &'static str {
    meeting.begun.notify_one();
    meeting.go_on.0.acquire().await.unwrap().forget();
    "waited"
}
