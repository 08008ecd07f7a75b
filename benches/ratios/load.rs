//! The load generator: a number of keep-alive connections in one thread, each asking again as soon as it has
//! been answered. Bounded in time and in requests, and for the loopback only: it is no tool against others.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::histogram::Histogram;
use crate::http::{Response, parse};

/// A response of the peers takes less; a longer one counts as broken.
const BUFFER: usize = 32 * 1024;

/// What was answered in one stretch of load.
pub struct Outcome {
    /// Answers with a 2xx status.
    pub answered: u64,
    /// Answers with any other status.
    pub refused: u64,
    /// Connections that broke, or answered what is not HTTP; each was opened again.
    pub broken: u64,
    pub elapsed: Duration,
    /// From the request's first byte written to the answer's last byte read.
    pub latency: Histogram,
}

/// Load in whichever protocol.
pub trait Asks {
    /// Asks for `time`, and not more than `most` requests.
    ///
    /// # Errors
    /// Of the sockets.
    fn run(&mut self, time: Duration, most: u64) -> io::Result<Outcome>;
}

/// Connections to one server that all send the same request.
pub struct Load {
    poll: Poll,
    events: Events,
    address: SocketAddr,
    request: Vec<u8>,
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    buffer: Box<[u8]>,
    filled: usize,
    /// Bytes of the request written so far; `None` while nothing is asked.
    written: Option<usize>,
    asked: Instant,
}

/// How a connection fares when it can go no further for now.
enum Progress {
    Waiting,
    Answered(u16),
    Broken,
}

impl Load {
    /// Opens `count` connections.
    ///
    /// # Errors
    /// Of the sockets; an address that is not on the loopback.
    pub fn open(address: SocketAddr, count: usize, request: Vec<u8>) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "the load goes to the loopback only"));
        }
        let poll = Poll::new()?;
        let connections =
            (0..count).map(|index| Connection::open(&poll, index, address)).collect::<io::Result<_>>()?;
        Ok(Self { poll, events: Events::with_capacity(count.max(1)), address, request, connections })
    }

    /// Whether every request has been answered.
    pub fn at_rest(&self) -> bool {
        self.connections.iter().all(|connection| connection.written.is_none())
    }

    fn go_on(&mut self, index: usize, left: &mut u64, outcome: &mut Outcome) -> io::Result<()> {
        loop {
            let connection = &mut self.connections[index];
            match connection.go_on(&self.request) {
                Progress::Waiting => return Ok(()),
                Progress::Answered(status) => {
                    let now = Instant::now();
                    outcome.latency.record((now - connection.asked).as_nanos() as u64);
                    match status {
                        200..300 => outcome.answered += 1,
                        _ => outcome.refused += 1,
                    }
                    connection.asked = now;
                }
                Progress::Broken => {
                    outcome.broken += 1;
                    self.connections[index] = Connection::open(&self.poll, index, self.address)?;
                }
            }
            if *left == 0 {
                return Ok(());
            }
            *left -= 1;
            self.connections[index].ask();
        }
    }
}

impl Asks for Load {
    /// Returns earlier once all are answered. What is in flight when the time is over is counted by the next run.
    ///
    /// # Errors
    /// Of the sockets, where a connection can't be opened again.
    fn run(&mut self, time: Duration, most: u64) -> io::Result<Outcome> {
        let started = Instant::now();
        let mut outcome =
            Outcome { answered: 0, refused: 0, broken: 0, elapsed: time, latency: Histogram::new() };
        let mut left = most;
        for index in 0..self.connections.len() {
            if left > 0 && self.connections[index].written.is_none() {
                left -= 1;
                self.connections[index].ask();
                self.go_on(index, &mut left, &mut outcome)?;
            }
        }
        while started.elapsed() < time && !(left == 0 && self.at_rest()) {
            match self.poll.poll(&mut self.events, Some(Duration::from_millis(50))) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            let ready: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
            for index in ready {
                self.go_on(index, &mut left, &mut outcome)?;
            }
        }
        outcome.elapsed = started.elapsed();
        Ok(outcome)
    }
}

impl Connection {
    fn open(poll: &Poll, index: usize, address: SocketAddr) -> io::Result<Self> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Ok(Self { stream, buffer, filled: 0, written: None, asked: Instant::now() })
    }

    fn ask(&mut self) {
        self.written = Some(0);
        self.filled = 0;
        self.asked = Instant::now();
    }

    /// Writes and reads as far as the socket goes.
    fn go_on(&mut self, request: &[u8]) -> Progress {
        let Some(mut written) = self.written else { return self.hears_nothing() };
        while written < request.len() {
            match self.stream.write(&request[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Progress::Broken,
            }
        }
        let asked_at_once = self.written == Some(0) && written == request.len();
        self.written = Some(written);
        // The answer to what has just been asked can't be there yet: its event will come.
        if asked_at_once { Progress::Waiting } else { self.hear() }
    }

    fn hear(&mut self) -> Progress {
        loop {
            let space = self.buffer.len() - self.filled;
            let read = match self.stream.read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Progress::Broken,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::Waiting,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Progress::Broken,
            };
            self.filled += read;
            match parse(&self.buffer[..self.filled]) {
                Response::Complete { status, length, .. } if length == self.filled => {
                    self.written = None;
                    return Progress::Answered(status);
                }
                // A read that left room has emptied the socket; more comes with its own event.
                Response::Partial if read < space => return Progress::Waiting,
                Response::Partial if self.filled < self.buffer.len() => {}
                _ => return Progress::Broken,
            }
        }
    }

    /// While nothing is asked only the end of the connection can come.
    fn hears_nothing(&mut self) -> Progress {
        match self.stream.read(&mut self.buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Progress::Waiting,
            Err(error) if error.kind() == ErrorKind::Interrupted => Progress::Waiting,
            _ => Progress::Broken,
        }
    }
}
