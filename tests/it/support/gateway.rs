//! Gateways: the simulated one as a process, and one in this process that answers raw bytes as a test wants.

use chassis_test::{Answer, ask, held::Held, until, until_so};
use parking_lot::Mutex;
use serde_json::Value;
use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

/// The simulated gateway, or the address of one that is gone. Dropping it leaves no process.
pub struct Gateway {
    pub address: SocketAddr,
    process: Option<Child>,
    folder: tempfile::TempDir,
    _held: Held,
}

impl Gateway {
    /// Answers at once.
    pub fn start() -> Self {
        let mut gateway = Self::gone();
        gateway.come();
        gateway
    }

    /// Starts with a behaviour, see [`Self::behave`].
    pub fn behaving(behaviour: &str) -> Self {
        let gateway = Self::start();
        gateway.behave(behaviour);
        gateway
    }

    /// An address that refuses connections until [`Self::come`].
    pub fn gone() -> Self {
        let held = Held::new();
        Self { address: held.address, process: None, folder: tempfile::tempdir().unwrap(), _held: held }
    }

    pub fn come(&mut self) {
        let output = self.folder.path().join("output");
        let child = Command::new(program())
            .args(["--listen", &self.address.to_string(), "--record"])
            .arg(self.folder.path().join("record"))
            .stdin(Stdio::null())
            .stdout(File::create(&output).unwrap())
            .spawn();
        self.process = Some(child.unwrap());
        until("the gateway listens", || fs::read_to_string(&output).ok().filter(|text| text.ends_with('\n')));
    }

    /// Kills it: its address refuses connections.
    pub fn leave(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/send", self.address)
    }

    /// Changes what it does, such as `{"blackHole":true}`.
    pub fn behave(&self, behaviour: &str) {
        let answer = ask(self.address, "PUT", "/control", behaviour).unwrap();
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    /// What it has counted since it came.
    pub fn stats(&self) -> Value {
        ask(self.address, "GET", "/stats", "").as_ref().map(Answer::json).unwrap()
    }

    /// All ids that ever arrived, in order, each as often as it did.
    pub fn arrivals(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("record")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub fn arrivals_of(&self, id: &str) -> usize {
        self.arrivals().iter().filter(|arrived| *arrived == id).count()
    }

    /// Waits until so many messages have arrived in all.
    pub fn has_received(&self, messages: usize) {
        until_so("messages at the gateway", || self.arrivals().len() >= messages);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.leave();
    }
}

/// `cargo test` builds examples into a folder beside the tests' own.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().unwrap().with_file_name("examples").join("sms_gateway");
    assert!(path.exists(), "{} is missing: run `cargo build --example sms_gateway`", path.display());
    path
}

/// A request that a gateway was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its `Idempotency-Key`.
    pub id: String,
    pub traceparent: String,
    /// The whole head, with names in lower case.
    pub head: String,
    pub body: String,
}

/// What a raw gateway does with a request that it has read.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// Answers with this status, without a body.
    Status(u16),
    /// Answers these bytes.
    Bytes(&'static str),
    /// Answers with 200, and closes the connection without saying so.
    DeliveredAndClosed,
    /// Closes without an answer.
    Close,
    /// Never answers.
    Silence,
}

/// A gateway in this process, which keeps connections open. It ends with the test's process.
pub struct RawGateway {
    pub address: SocketAddr,
    state: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    acts: VecDeque<Act>,
    always: Option<Act>,
    sent: Vec<Sent>,
    connections: usize,
    /// How long a connection may be idle.
    idle: Option<Duration>,
    /// How many of the next requests find the connection closed, although their bytes have arrived.
    unread: usize,
    /// How many requests arrived on a connection that was closed while they were on their way.
    crossed: usize,
}

impl RawGateway {
    /// Answers 200.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<Told>>::default();
        let own = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&own);
                state.lock().connections += 1;
                thread::spawn(move || answer_then_close(stream, &state));
            }
        });
        Self { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}/send", self.address)
    }

    /// Does these with the next requests, once each.
    pub fn will(&self, acts: &[Act]) {
        self.state.lock().acts.extend(acts);
    }

    /// Does this with every request for which there is no other act.
    pub fn always(&self, act: Act) {
        self.state.lock().always = Some(act);
    }

    /// From the next connection on, closes those that have been idle for so long.
    pub fn closes_idle_after(&self, idle: Duration) {
        self.state.lock().idle = Some(idle);
    }

    /// Closes the connection when the next request arrives, without reading any of it.
    pub fn closes_unread(&self) {
        self.state.lock().unread += 1;
    }

    pub fn sent(&self) -> Vec<Sent> {
        self.state.lock().sent.clone()
    }

    pub fn sent_of(&self, id: &str) -> usize {
        self.sent().iter().filter(|sent| sent.id == id).count()
    }

    pub fn connections(&self) -> usize {
        self.state.lock().connections
    }

    /// How many requests crossed the close of an idle connection on their way, unread.
    pub fn crossed(&self) -> usize {
        self.state.lock().crossed
    }
}

/// Says that it closes an idle connection before it does, so that it sees what was on its way.
fn answer_then_close(mut stream: TcpStream, state: &Mutex<Told>) -> io::Result<()> {
    match answer_on(stream.try_clone()?, state) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            stream.shutdown(Shutdown::Write)?;
            stream.set_read_timeout(None)?;
            let unread = io::copy(&mut stream, &mut io::sink())?;
            state.lock().crossed += usize::from(unread > 0);
            Ok(())
        }
        ended => ended,
    }
}

fn answer_on(mut stream: TcpStream, state: &Mutex<Told>) -> io::Result<()> {
    stream.set_read_timeout(state.lock().idle)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let closes_unread = |stream: &TcpStream| {
        let arrived = stream.peek(&mut [0])? > 0;
        let mut told = state.lock();
        let closes = arrived && told.unread > 0;
        told.unread -= usize::from(closes);
        io::Result::Ok(closes)
    };
    while !closes_unread(&stream)?
        && let Some(sent) = read_request(&mut reader)?
    {
        let act = {
            let mut told = state.lock();
            told.sent.push(sent);
            told.acts.pop_front().or(told.always).unwrap_or(Act::Status(200))
        };
        match act {
            Act::Status(status) => {
                write!(stream, "HTTP/1.1 {status} As the test wants\r\ncontent-length: 0\r\n\r\n")?;
            }
            Act::Bytes(bytes) => {
                stream.write_all(bytes.as_bytes())?;
                return Ok(());
            }
            Act::DeliveredAndClosed => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
                return Ok(());
            }
            Act::Close => return Ok(()),
            Act::Silence => {}
        }
    }
    Ok(())
}

/// One request with a length; nothing at the end of the connection.
fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Sent>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:")));
        line.map(|line| line.split_once(':').unwrap().1.trim().to_owned()).unwrap_or_default()
    };
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let (id, traceparent) = (header("idempotency-key"), header("traceparent"));
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(Sent { id, traceparent, head: head.to_lowercase(), body }))
}

/// The requests that passed a tap before a gateway.
pub fn sent(tap: &chassis_test::Tap) -> Vec<Sent> {
    let read = |bytes: Vec<u8>| {
        let mut reader = bytes.as_slice();
        std::iter::from_fn(move || read_request(&mut reader).ok().flatten()).collect::<Vec<_>>()
    };
    tap.connections().into_iter().flat_map(read).collect()
}
