//! Telemetry of its own for one test, its lines in memory and its account as numbers.

use epro_notify::platform::{
    config::Reader,
    telemetry::{Service, TelemetryConfig, TestTelemetry, init_for_tests},
};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use std::{
    io::{self, Write},
    sync::Arc,
};

pub const SERVICE: Service = Service { name: "a-service", version: "1.2.3" };

/// Lines as they would stand on stdout.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }

    /// Each line as a JSON object.
    pub fn objects(&self) -> Vec<Map<String, Value>> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Telemetry with these settings.
pub fn start(settings: &[(&str, &str)]) -> (TestTelemetry, Lines) {
    super::subscribers::keep_apart();
    let mut reader = Reader::for_tests(settings);
    let config = TelemetryConfig::read(&mut reader);
    reader.finish().unwrap();
    let lines = Lines::default();
    let telemetry = init_for_tests(&config, SERVICE, Box::new(lines.clone())).unwrap();
    (telemetry, lines)
}

/// What became of the spans that ended, as `/metrics` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub ended: u64,
    pub exported: u64,
    pub failed: u64,
    pub dropped: u64,
    pub queued: u64,
}

impl Account {
    pub fn of(metrics: &str) -> Self {
        let spans = |outcome| value(metrics, &format!("telemetry_spans_total{{outcome=\"{outcome}\"}}"));
        Self {
            ended: value(metrics, "telemetry_spans_ended_total"),
            exported: spans("exported"),
            failed: spans("failed"),
            dropped: spans("dropped"),
            queued: value(metrics, "telemetry_spans_queued"),
        }
    }

    pub fn is_exact(&self) -> bool {
        self.ended == self.exported + self.failed + self.dropped + self.queued
    }
}

/// The value of one series, which has to be there.
pub fn value(metrics: &str, series: &str) -> u64 {
    let mut values = metrics.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    values.next().unwrap_or_else(|| panic!("{series} is missing")).parse().unwrap()
}
