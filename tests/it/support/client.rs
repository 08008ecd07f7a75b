//! A small blocking HTTP client: it says exactly what was answered, and nothing is retried behind a test's back.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

/// Longer than any answer takes: what is not there by then never comes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A keep-alive connection that sends one request at a time.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(address: SocketAddr) -> Result<Self> {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE)?)
    }

    /// The same from an address of this machine, as 127.0.0.2.
    pub fn open_from(source: IpAddr, address: SocketAddr) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.bind((source, 0).into())?;
            socket.connect(address).await?.into_std()
        })?;
        stream.set_nonblocking(false)?;
        Self::over(stream)
    }

    fn over(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a request with a JSON body and waits for its answer.
    pub fn send(&mut self, method: &str, path: &str, body: &str) -> Result<Answer> {
        self.send_with(method, path, &[], body)
    }

    /// The same with headers of the test's own.
    pub fn send_with(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer> {
        let own: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{own}content-length: {length}\r\n\r\n{body}"
        );
        self.write(request.as_bytes())?;
        self.read()
    }

    /// Writes bytes as they are, such as a part of a request.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Reads one answer. Bodies without a length are not understood.
    pub fn read(&mut self) -> Result<Answer> {
        let status = self.line()?;
        let code = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = code.ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("{status:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                Some((name, value)) => headers.push((name.to_lowercase(), value.trim().to_owned())),
                None => break,
            }
        }
        let mut answer = Answer { status, headers, body: String::new() };
        let length = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        answer.body = String::from_utf8_lossy(&body).into_owned();
        Ok(answer)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

/// One request on a connection of its own.
pub fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<Answer> {
    Connection::open(address)?.send(method, path, body)
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// A member of the JSON body that is a text.
    pub fn text(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_else(|| panic!("no {name}: {self:?}")).to_owned()
    }

    /// The trace that the answer says it belongs to.
    pub fn trace_id(&self) -> String {
        let context = self.header("traceparent").unwrap_or_else(|| panic!("no traceparent: {self:?}"));
        context.split('-').nth(1).unwrap().to_owned()
    }

    /// Fails unless this is the problem of that type and status; gives the seconds of its `Retry-After`.
    pub fn problem(&self, status: u16, slug: &str) -> Option<u64> {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.text("type"), format!("/problems/{slug}"), "{self:?}");
        self.header("retry-after").map(|seconds| seconds.parse().unwrap())
    }
}
