//! As much HTTP/1.1 as a client on the loopback needs: where a response ends, and one call at a time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Result;

/// Heads larger than this are refused rather than read on.
const MAX_HEAD: usize = 16 * 1024;

/// What the bytes that have come so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub enum Response {
    /// More bytes have to come.
    Partial,
    /// A whole response, its head `head` and in all `length` bytes long.
    Complete { status: u16, head: usize, length: usize },
    /// Not a response with a `Content-Length`.
    Malformed,
}

/// Reads a response that starts at the first byte of `bytes`. Bodies are as long as `Content-Length` says,
/// and empty without one; a chunked body is malformed here, for no peer of the bench sends one.
pub fn parse(bytes: &[u8]) -> Response {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else {
        return if bytes.len() > MAX_HEAD { Response::Malformed } else { Response::Partial };
    };
    let mut lines = bytes[..head].split(|byte| *byte == b'\n');
    let Some(status) = lines.next().and_then(status) else { return Response::Malformed };
    let mut body = 0_usize;
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            match std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()) {
                Some(length) => body = length,
                None => return Response::Malformed,
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Response::Malformed;
        }
    }
    match head.checked_add(body) {
        Some(length) if length <= bytes.len() => Response::Complete { status, head, length },
        Some(_) => Response::Partial,
        None => Response::Malformed,
    }
}

fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    let digits = std::str::from_utf8(rest.get(..3)?).ok()?;
    digits.parse().ok().filter(|status| (100..600).contains(status))
}

/// The key that every request presents, whether or not the server asks for one: all peers read the same bytes.
pub const KEY: &str = "bench-0123456789abcdef0123456789abcdef0123456789abcdef0123456789";

/// A request with a JSON body, as its bytes; an empty `body` sends none.
pub fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
    format!(
        "{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {KEY}\r\n{kind}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// One call on a connection of its own: the status and the body.
///
/// # Errors
/// The connection's own, a time-out of 5 s, or an answer that is not HTTP.
pub fn call(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
    let wait = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, wait)?;
    stream.set_read_timeout(Some(wait))?;
    stream.write_all(&request(method, path, body))?;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let read = stream.read(&mut chunk)?;
        bytes.extend_from_slice(&chunk[..read]);
        match parse(&bytes) {
            Response::Complete { status, head, length } => {
                return Ok((status, String::from_utf8_lossy(&bytes[head..length]).into_owned()));
            }
            Response::Partial if read > 0 => {}
            Response::Partial => return Err(format!("{method} {path}: the connection was closed").into()),
            Response::Malformed => return Err(format!("{method} {path}: not an HTTP response").into()),
        }
    }
}
