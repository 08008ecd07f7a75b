//! A server of the platform's own stack with a small router, and a caller that writes raw bytes.

use epro_notify::platform::{
    admission::Admission,
    auth::Scope,
    http::{
        HttpConfig, IdempotencyHeader, JsonBody, Listener, Problem, Routes, Stack, StaticPage, bind, serve,
    },
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
        cors_origins: Vec::new(),
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
        Self::start_with(config, trusted, None).await
    }

    /// With this at the door.
    pub async fn start_with(config: HttpConfig, trusted: bool, admission: Option<Admission>) -> Self {
        let meeting = Meeting::default();
        let listener = bind(config.listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stack = Stack::new(routes(meeting.clone()), &config, admission).unwrap();
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
        let Answer { status, head, body } = self.ask_bytes(request).await;
        Answer { status, head, body: String::from_utf8(body).unwrap() }
    }

    /// The same where the body need not be text.
    pub async fn ask_bytes(&self, request: &str) -> Answer<Vec<u8>> {
        let mut stream = self.connect().await;
        let head_end = request.find("\r\n").unwrap() + 2;
        let (line, rest) = request.split_at(head_end);
        stream
            .write_all(format!("{line}Host: test\r\nConnection: close\r\n{rest}").as_bytes())
            .await
            .unwrap();
        Answer::split(&read_to_end(&mut stream).await)
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
pub struct Answer<B = String> {
    pub status: u16,
    head: String,
    pub body: B,
}

impl Answer {
    pub fn parse(bytes: &[u8]) -> Self {
        let Answer { status, head, body } = Answer::split(bytes);
        Self { status, head, body: String::from_utf8(body).unwrap() }
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

impl Answer<Vec<u8>> {
    fn split(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: bytes[end + 4..].to_vec() }
    }
}

impl<B> Answer<B> {
    pub fn header(&self, name: &str) -> Option<&str> {
        let named =
            |line: &&str| line.split(':').next().is_some_and(|found| found.eq_ignore_ascii_case(name));
        self.head.lines().skip(1).find(named).and_then(|line| line.split_once(": ")).map(|(_, value)| value)
    }

    /// Every value of a header.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
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
        .get("/list", Scope::Read, async || "an item\n".repeat(1000))
        .compressed("/list")
        .page("/page", || StaticPage::new("text/plain", "a line\n".repeat(1000)))
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
