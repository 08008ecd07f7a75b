//! Asking a running service's admin listener whether it is ready, for images without a shell.

use super::AdminConfig;
use crate::platform::tls;
use std::{
    io::{Error, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

/// How long the whole question may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// The most that is read of an answer, in bytes.
const MAX_ANSWER: u64 = 64 * 1024;

/// The answer of `/readyz`.
#[derive(Debug, PartialEq, Eq)]
pub struct Readiness {
    pub ready: bool,
    /// The checks with their reasons, as JSON.
    pub body: String,
}

/// Asks `/readyz` of the admin listener, on loopback where it listens everywhere. Where it has TLS, the only
/// certificate that is taken is the one that the configuration names.
///
/// # Errors
/// Nothing listens there, it doesn't answer within two seconds, not in HTTP, or with another certificate.
pub fn ready(config: &AdminConfig) -> Result<Readiness, Error> {
    let listen = config.listen;
    let stream = Timed::connect(reachable(listen))?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {listen}\r\nConnection: close\r\n\r\n");
    let answer = match &config.tls {
        None => ask(stream, &request)?,
        Some(tls) => {
            let client = Arc::new(tls::client(&tls.cert_file)?);
            let name = reachable(listen).ip().into();
            let connection = ClientConnection::new(client, name).map_err(Error::other)?;
            ask(StreamOwned::new(connection, stream), &request)?
        }
    };
    parse(&String::from_utf8_lossy(&answer))
        .ok_or_else(|| Error::new(ErrorKind::InvalidData, "answers something else than HTTP"))
}

/// Everything that is answered, up to a bound.
fn ask(mut stream: impl Read + Write, request: &str) -> Result<Vec<u8>, Error> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

/// A connection on which all waiting together has one deadline.
struct Timed {
    stream: TcpStream,
    deadline: Instant,
}

impl Timed {
    fn connect(address: SocketAddr) -> Result<Self, Error> {
        let deadline = Instant::now() + DEADLINE;
        Ok(Self { stream: TcpStream::connect_timeout(&address, DEADLINE)?, deadline })
    }
}

impl Read for Timed {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        self.stream.set_read_timeout(Some(remaining(self.deadline)?))?;
        self.stream.read(buf)
    }
}

impl Write for Timed {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        self.stream.set_write_timeout(Some(remaining(self.deadline)?))?;
        self.stream.write(buf)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.stream.flush()
    }
}

fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn remaining(deadline: Instant) -> Result<Duration, Error> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(Error::new(ErrorKind::TimedOut, "no answer within two seconds"))
    } else {
        Ok(left)
    }
}

fn parse(answer: &str) -> Option<Readiness> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    Some(Readiness { ready: status == "200", body: body.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::TcpListener;

    fn ask_plain(listen: SocketAddr) -> Result<Readiness, Error> {
        ready(&AdminConfig { listen, tls: None })
    }

    fn answer_once(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn the_reasons_of_a_service_that_is_not_ready_are_passed_on() {
        let address = answer_once("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}");
        assert_eq!(ask_plain(address).unwrap(), Readiness { ready: false, body: "{}".to_owned() });
    }

    #[test]
    fn a_service_that_listens_everywhere_is_asked_on_loopback() {
        for (listen, asked) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }

    #[test]
    fn silence_and_other_protocols_are_errors() {
        assert!(ask_plain(answer_once("220 mail ready\r\n\r\n")).is_err());
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(ask_plain(closed).is_err());
    }

    proptest! {
        #[test]
        fn no_answer_panics(answer in "\\PC*|(HTTP/1.1 )?\\PC{0,9}\r\n\r\n\\PC*") {
            parse(&answer);
        }
    }
}
