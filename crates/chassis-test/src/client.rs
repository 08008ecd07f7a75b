//! A small blocking HTTP/1.1 client: it reports exactly what was answered and retries nothing behind a test's back.

use crate::wait::PATIENCE;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write},
    net::{IpAddr, SocketAddr, TcpStream},
};

/// A keep-alive connection that sends one request at a time over `S`, plain TCP or TLS.
pub struct Connection<S = TcpStream>(BufReader<S>);

impl Connection {
    pub fn open(address: SocketAddr) -> Result<Self> {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE)?)
    }

    /// Connects from another address of this machine, such as 127.0.0.2.
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
        Ok(Self::new(stream))
    }
}

impl<S: Read + Write> Connection<S> {
    pub fn new(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    /// Sends a request with a JSON body and waits for its answer.
    pub fn send(&mut self, method: &str, path: &str, body: &str) -> Result<Answer> {
        self.send_with(method, path, &[], body)
    }

    /// The same with further headers. `host` and `content-type` replace the usual ones.
    pub fn send_with(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer> {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        for (name, usual) in [("host", "localhost"), ("content-type", "application/json")] {
            if !headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
                head += &format!("{name}: {usual}\r\n");
            }
        }
        headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        let length = body.len();
        self.write(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes())?;
        self.read_answer(method == "HEAD")
    }

    /// Writes bytes as they are, such as a part of a request.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.get_mut().write_all(bytes)?;
        self.0.get_mut().flush()
    }

    /// Reads the answer to a request other than HEAD.
    pub fn read(&mut self) -> Result<Answer> {
        self.read_answer(false)
    }

    /// Reads the answer to a request that may be a HEAD, whose answer has no body.
    pub fn read_answer(&mut self, to_head: bool) -> Result<Answer> {
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
        let mut answer = Answer { status, headers, bytes: Vec::new(), body: String::new() };
        if !to_head && !matches!(status, 100..200 | 204 | 304) {
            answer.bytes = self.body(&answer)?;
        }
        answer.body = String::from_utf8_lossy(&answer.bytes).into_owned();
        Ok(answer)
    }

    fn body(&mut self, answer: &Answer) -> Result<Vec<u8>> {
        if answer.header("transfer-encoding") == Some("chunked") {
            let mut whole = Vec::new();
            loop {
                let length = self.line()?;
                let length = usize::from_str_radix(&length, 16).map_err(Error::other)?;
                let mut chunk = vec![0; length];
                self.0.read_exact(&mut chunk)?;
                self.line()?;
                whole.extend(chunk);
                if length == 0 {
                    return Ok(whole);
                }
            }
        }
        let length = answer.header("content-length").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.0.read_exact(&mut body)?;
        Ok(body)
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

/// The same with headers; panics if there is no answer.
pub fn ask_with(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    Connection::open(address).and_then(|mut open| open.send_with(method, path, headers, body)).unwrap()
}

/// Sends bytes and reads the answer to them.
pub fn ask_raw(address: SocketAddr, request: &str) -> Result<Answer> {
    let mut connection = Connection::open(address)?;
    connection.write(request.as_bytes())?;
    connection.read()
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub bytes: Vec<u8>,
    /// The bytes as text.
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// Every value of a header.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// A text member of the JSON body.
    pub fn text(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_else(|| panic!("no {name}: {self:?}")).to_owned()
    }

    /// The trace that the answer says it belongs to.
    pub fn trace_id(&self) -> String {
        let context = self.header("traceparent").unwrap_or_else(|| panic!("no traceparent: {self:?}"));
        context.split('-').nth(1).unwrap().to_owned()
    }

    /// Panics unless this is the problem of that type and status. Returns the seconds of its `Retry-After`.
    pub fn problem(&self, status: u16, slug: &str) -> Option<u64> {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.text("type"), format!("/problems/{slug}"), "{self:?}");
        self.header("retry-after").map(|seconds| seconds.parse().unwrap())
    }

    /// The JSON pointers that a problem names, sorted.
    pub fn pointers(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().unwrap_or_else(|| panic!("{self:?}")).clone();
        let mut pointers: Vec<_> =
            errors.iter().map(|fault| fault["pointer"].as_str().unwrap().to_owned()).collect();
        pointers.sort_unstable();
        pointers
    }
}
