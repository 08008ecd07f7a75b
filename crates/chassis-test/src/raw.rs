//! Callers of raw bytes: slow ones, greedy ones, and those that never read.

use crate::wait::PATIENCE;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes and returns everything that is answered until the server closes.
pub fn answers(address: SocketAddr, sent: &[u8]) -> String {
    let mut stream = connect(address);
    // The server may well close before it has read all.
    let _ = stream.write_all(sent);
    String::from_utf8_lossy(&rest(&mut stream)).into_owned()
}

/// Sends these bytes again and again until the server takes no more, at most `most` of them. Returns whether it
/// stopped taking them.
pub fn flood(stream: &mut TcpStream, bytes: &[u8], most: usize) -> bool {
    let mut sent = 0;
    while sent < most {
        match stream.write(bytes) {
            Ok(count) => sent += count,
            Err(error) => {
                let slow = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(!slow, "the server neither reads nor closes");
                return true;
            }
        }
    }
    false
}

/// Everything until the server closes, in order or by a reset.
pub fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let (mut all, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return all,
            Ok(count) => all.extend(&chunk[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the server does not close: {:?}", String::from_utf8_lossy(&all))
            }
            Err(_) => return all,
        }
    }
}

/// Sends one byte every 100 ms, until all are sent or the server closes.
pub fn trickle(stream: &mut TcpStream, bytes: &[u8]) {
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    for byte in bytes {
        // The pause, which the end of the connection cuts short.
        let closed = stream.peek(&mut [0]).is_ok();
        if closed || stream.write_all(&[*byte]).is_err() {
            break;
        }
    }
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
}

/// The statuses of HTTP/1.1 answers.
pub fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect()
}

/// Raises this process's soft limit on open files to the hard one, and returns it.
pub fn most_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    limit.maximum.unwrap_or(u64::MAX)
}
