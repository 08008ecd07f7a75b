//! The methods that are called, each with its throttle and metrics.

use crate::catalogue::{
    REFUSED, REFUSED_REASONS, RETRIES, RETRIES_WITHHELD, RETRY_REASONS, THROTTLED, WITHHELD_REASONS,
};
use chassis_resilience::Throttle;
use chassis_telemetry::{catalogue::Metric, names};
use metrics::{Histogram, counter};
use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};
use tonic::Code;

/// A unary method of the other service, and whether it may be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    service: &'static str,
    name: &'static str,
    reads: bool,
}

impl Method {
    /// A method that only reads: any call may be retried. `service` is its full name, as `package.v1.Name`.
    pub const fn read(service: &'static str, name: &'static str) -> Self {
        Self { service, name, reads: true }
    }

    /// A method that changes something: a call that may have arrived is retried only if it carries an
    /// `idempotency-key`.
    pub const fn write(service: &'static str, name: &'static str) -> Self {
        Self { service, name, reads: false }
    }
}

/// What the client keeps for a method.
pub(crate) struct MethodState {
    method: Method,
    /// `package.v1.Service/Method`, the name of its spans.
    pub full: String,
    pub throttle: Throttle,
    durations: [OnceLock<Histogram>; names::GRPC_CODES.len()],
}

impl MethodState {
    /// Registers the method's counters with 0.
    pub fn new(method: &Method) -> Self {
        let state = Self {
            method: *method,
            full: format!("{}/{}", method.service, method.name),
            throttle: Throttle::new(Instant::now()),
            durations: Default::default(),
        };
        let reasons =
            [(REFUSED, REFUSED_REASONS), (RETRIES, RETRY_REASONS), (RETRIES_WITHHELD, WITHHELD_REASONS)];
        for (metric, reasons) in reasons {
            reasons.iter().for_each(|reason| state.count(&metric, reason, 0));
        }
        counter!(THROTTLED.name, names::LABEL_GRPC_METHOD => method.name).increment(0);
        state
    }

    /// The path of its calls.
    pub fn path(&self) -> String {
        format!("/{}", self.full)
    }

    /// Whether a call with these headers may be made twice.
    pub fn repeatable(&self, headers: &http::HeaderMap) -> bool {
        self.method.reads || headers.contains_key("idempotency-key")
    }

    pub fn count(&self, metric: &Metric, reason: &'static str, by: u64) {
        let labels = [(names::LABEL_GRPC_METHOD, self.method.name), (names::LABEL_REASON, reason)];
        counter!(metric.name, &labels).increment(by);
    }

    pub fn throttled(&self) {
        counter!(THROTTLED.name, names::LABEL_GRPC_METHOD => self.method.name).increment(1);
    }

    /// Records the latency of an attempt; a series appears on its first use.
    pub fn took(&self, code: Code, time: Duration) {
        if let Some(histogram) = self.durations.get(code as usize) {
            histogram.get_or_init(|| self.histogram(code)).record(time.as_secs_f64());
        }
    }

    fn histogram(&self, code: Code) -> Histogram {
        metrics::histogram!(
            names::GRPC_REQUEST_DURATION,
            names::LABEL_GRPC_SERVICE => self.method.service,
            names::LABEL_GRPC_METHOD => self.method.name,
            names::LABEL_GRPC_CODE => code_name(code),
            names::LABEL_SIDE => "client",
        )
    }
}

/// The name of a code in metrics and spans: `NOT_FOUND`.
pub(crate) fn code_name(code: Code) -> &'static str {
    names::GRPC_CODES.get(code as usize).copied().unwrap_or("UNKNOWN")
}
