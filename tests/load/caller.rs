//! A keep-alive connection from an address of its own choice on the loopback, of which there are many.

use std::{
    io::{Error, ErrorKind, Result},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Caller {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What a load test looks at of an answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Whole seconds.
    pub retry_after: Option<u64>,
    pub body: Vec<u8>,
}

/// The `number`-th address of the loopback network, from 127.0.0.1 on.
pub fn address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + number).into()
}

impl Caller {
    pub async fn open(service: SocketAddr, from: IpAddr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from, 0))?;
        let stream = socket.connect(service).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends a request with an optional JSON body, and these header lines (each with its line's end).
    pub async fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Result<Answer> {
        let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{kind}{headers}content-length: {length}\r\n\r\n{body}"
        );
        self.write(request.as_bytes()).await?;
        timeout(PATIENCE, self.read()).await?
    }

    /// Writes bytes as they are, such as a part of a request.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await
    }

    async fn read(&mut self) -> Result<Answer> {
        loop {
            if let Some((answer, length)) = parse(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(answer);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The first whole answer of the bytes, and how many it takes.
fn parse(bytes: &[u8]) -> Result<Option<(Answer, usize)>> {
    let wrong = || Error::new(ErrorKind::InvalidData, "no HTTP answer");
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..head]).map_err(|_| wrong())?;
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(wrong)?;
    let number = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| value.trim().parse::<u64>().ok())
    };
    let end = head + 4 + number("content-length").unwrap_or(0) as usize;
    let answer = |body: &[u8]| Answer { status, retry_after: number("retry-after"), body: body.to_vec() };
    Ok(bytes.get(head + 4..end).map(|body| (answer(body), end)))
}
