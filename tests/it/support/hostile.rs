//! The real service under attack: a caller of raw bytes, and what has to hold afterwards.

use super::{
    client::Connection,
    http::LONG,
    service::{Service, Site},
    wait::{until, until_so},
};
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};

pub const GET: &str = "GET /api/v1/notifications/0 HTTP/1.1\r\nHost: test\r\n\r\n";
/// What an attack may leave behind in the service's memory.
const MOST_GROWTH: u64 = 32 * 1024 * 1024;

/// A service with short patience.
pub struct Target {
    pub service: Service,
    resident: u64,
    /// Nothing that a test attacks with is in its page of metrics by a count of its own.
    site: Site,
}

impl Target {
    pub fn start() -> Self {
        Self::with(&[])
    }

    pub fn with(settings: &[(&str, &str)]) -> Self {
        let mut site = Site::new()
            .with("APP_HTTP__HEADER_TIMEOUT", "500ms")
            .with("APP_HTTP__BODY_TIMEOUT", "500ms")
            .with("APP_HTTP__HANDLER_TIMEOUT", "6s");
        settings.iter().for_each(|(key, value)| site.set(key, value));
        let service = site.start();
        // What it needs once is not the attack's.
        service.accept();
        let resident = service.metrics().sum("process_resident_memory_bytes", &[]);
        Self { service, resident, site }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.service.http).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        stream
    }

    /// Sends this and gives everything that is answered until the service closes.
    pub fn answers(&self, sent: &[u8]) -> String {
        let mut stream = self.connect();
        // It may well close before it has read all.
        let _ = stream.write_all(sent);
        String::from_utf8_lossy(&rest(&mut stream)).into_owned()
    }

    pub fn count(&self, metric: &str) -> u64 {
        self.service.metrics().sum(metric, &[])
    }

    pub fn timed_out(&self) -> u64 {
        self.count("http_connections_timed_out_total")
    }

    /// Fails unless a good caller is served, nothing panicked, no answer was a 500, all connections are
    /// closed, and memory is about what it was.
    pub fn survived(self) {
        self.service.accept();
        let mut good = Connection::open(self.service.http).unwrap();
        assert_eq!(good.send("GET", "/nowhere", "").unwrap().status, 404);
        drop(good);
        let page = until("all connections are closed", || {
            let page = self.service.metrics();
            (page.sum("http_connections", &[("listener", "http")]) == 0).then_some(page)
        });
        assert_eq!(page.sum("http_request_duration_seconds_count", &[("status", "500")]), 0);
        assert_eq!(page.sum("task_panics_total", &[]), 0);
        let grown = page.sum("process_resident_memory_bytes", &[]).saturating_sub(self.resident);
        assert!(grown < MOST_GROWTH, "{grown} bytes more");
        let output = self.service.stop_and_read();
        assert!(!output.contains(r#""level":"ERROR""#) && !output.contains("panicked"), "{output}");
        drop(self.site);
    }
}

/// Sends this again and again until the service takes no more, at most so many bytes; whether it stopped.
pub fn flood(stream: &mut TcpStream, bytes: &[u8], most: usize) -> bool {
    let mut sent = 0;
    while sent < most {
        match stream.write(bytes) {
            Ok(count) => sent += count,
            Err(error) => {
                let slow = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(!slow, "it neither reads nor closes");
                return true;
            }
        }
    }
    false
}

/// Everything until the service closes, one way or the other.
pub fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let (mut all, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return all,
            Ok(count) => all.extend(&chunk[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("it does not close: {:?}", String::from_utf8_lossy(&all))
            }
            Err(_) => return all,
        }
    }
}

/// Sends one byte of this after the other, slowly, until it is through or the service closes.
pub fn trickle(stream: &mut TcpStream, bytes: &[u8]) {
    stream.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
    for byte in bytes {
        let mut peeked = [0];
        // The pause, which the end of the connection cuts short.
        let closed = stream.peek(&mut peeked).is_ok();
        if closed || stream.write_all(&[*byte]).is_err() {
            break;
        }
    }
    stream.set_read_timeout(Some(LONG)).unwrap();
}

/// Waits until the counter has risen to this.
pub fn until_timed_out(target: &Target, count: u64) {
    until_so("the slow one is counted", || target.timed_out() >= count);
}
