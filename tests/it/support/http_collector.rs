//! An OTLP collector over HTTP/1.1 that reads each call away and answers with one status.

use std::{
    io::{BufRead, BufReader, Read, Result, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

/// Runs as long as the process.
pub struct HttpCollector {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    status: AtomicU16,
    refused: AtomicUsize,
}

impl HttpCollector {
    /// Accepting everything.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { status: AtomicU16::new(200), refused: AtomicUsize::new(0) });
        let serving = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&serving);
                // A connection ends by the caller's leaving.
                thread::spawn(move || state.serve(stream));
            }
        });
        Self { address, state }
    }

    /// From now on.
    pub fn answer(&self, status: u16) {
        self.state.status.store(status, Relaxed);
    }

    /// Calls that were not answered with 200.
    pub fn refused(&self) -> usize {
        self.state.refused.load(Relaxed)
    }
}

impl State {
    fn serve(&self, mut stream: TcpStream) -> Result<()> {
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
            let status = self.status.load(Relaxed);
            self.refused.fetch_add(usize::from(status != 200), Relaxed);
            write!(stream, "HTTP/1.1 {status} As told\r\ncontent-length: 0\r\n\r\n")?;
        }
    }
}
