//! The service under attack, and what has to hold afterwards.

use super::prelude::*;
use chassis_test::raw;
use std::net::TcpStream;

pub const GET: &str = "GET /api/v1/notifications/0 HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// What an attack may leave behind in the service's memory.
const MOST_GROWTH: u64 = 32 * 1024 * 1024;

/// A service with short time-outs.
pub struct Target {
    pub service: Service,
    resident: u64,
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
        // Memory that it needs once is not the attack's.
        service.accept();
        let resident = service.resident();
        Self { service, resident }
    }

    pub fn connect(&self) -> TcpStream {
        raw::connect(self.service.http)
    }

    pub fn answers(&self, sent: &[u8]) -> String {
        raw::answers(self.service.http, sent)
    }

    pub fn timed_out(&self) -> u64 {
        self.service.metrics().sum("http_connections_timed_out_total", &[])
    }

    /// Waits until so many connections have timed out.
    pub fn until_timed_out(&self, count: u64) {
        until_so("slow connections are counted", || self.timed_out() >= count);
    }

    /// Panics unless a good caller is served, nothing panicked, no answer was a 500, all connections are closed,
    /// and memory is about what it was.
    pub fn survived(self) {
        self.service.accept();
        assert_eq!(self.service.get("/nowhere").status, 404);
        let page = until("all connections are closed", || {
            let page = self.service.metrics();
            (page.sum("http_connections", &[("listener", "http")]) == 0).then_some(page)
        });
        assert_eq!(page.sum("http_request_duration_seconds_count", &[("status", "500")]), 0);
        assert_eq!(page.sum("task_panics_total", &[]), 0);
        let grown = self.service.resident().saturating_sub(self.resident);
        assert!(grown < MOST_GROWTH, "{grown} bytes more");
        let output = self.service.stop_and_read();
        assert!(!output.contains(r#""level":"ERROR""#) && !output.contains("panicked"), "{output}");
    }
}
