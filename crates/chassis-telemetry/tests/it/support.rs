//! Lines and spans in memory, and what a page of metrics says of them.
use chassis_telemetry::{Scoped, Setup};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};
use parking_lot::Mutex;
use serde_json::Value;
use std::{io, sync::Arc, time::Duration};

pub const LONG: Duration = Duration::from_secs(30);

/// An output that keeps what is written.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    pub fn all(&self) -> Vec<Value> {
        objects(&String::from_utf8(self.0.lock().clone()).unwrap())
    }

    pub fn named(&self, message: &str) -> Vec<Value> {
        self.all().into_iter().filter(|line| line["message"] == message).collect()
    }
}

/// Every line that is an object.
pub fn objects(text: &str) -> Vec<Value> {
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// An exporter that keeps what it is given.
#[derive(Clone, Debug, Default)]
pub struct Kept(pub Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().extend(batch);
        Ok(())
    }
}

impl Kept {
    pub fn named(&self, name: &str) -> SpanData {
        let all = self.0.lock();
        let found = all.iter().find(|span| span.name == name);
        found.unwrap_or_else(|| panic!("no {name} in {all:?}")).clone()
    }
}

/// Telemetry of a test's own: lines and spans are kept where the variables say so.
pub fn scoped(setup: &Setup, environment: &[(&str, &str)], lines: &Lines, kept: &Kept) -> Scoped {
    let get =
        |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let kept = kept.clone();
    Scoped::new(setup, &get, Box::new(lines.clone()), move |_| Ok(kept.clone())).unwrap()
}

/// A metric's value in Prometheus' text.
pub fn metric(text: &str, series: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
}

/// Ended spans, and what became of them, in Prometheus' text: exported, failed, dropped, queued.
pub fn account(text: &str) -> (u64, [u64; 4]) {
    let of = |outcome: &str| metric(text, &format!("telemetry_spans_total{{outcome=\"{outcome}\"}}"));
    let outcomes = [of("exported"), of("failed"), of("dropped"), metric(text, "telemetry_spans_queued")];
    (metric(text, "telemetry_spans_ended_total"), outcomes)
}
