//! Trace contexts of callers, and log filters.

use chassis_telemetry::{LogFilter, Service, Setup, TraceContext, init};
use http::{HeaderMap, HeaderValue};
use std::sync::LazyLock;

/// A context that is read is written as one that is read the same.
pub fn traceparent(bytes: &[u8]) {
    let _ = TraceContext::from_bytes(bytes);
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        let name = http::HeaderName::from_static("traceparent");
        let _ = TraceContext::from_headers(&HeaderMap::from_iter([(name, value)]));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(context) = TraceContext::parse(text) {
        assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
        assert_eq!(TraceContext::from_bytes(&context.to_bytes()), Some(context));
    }
}

/// A filter is taken, or the fault does not repeat it.
pub fn log_filter(bytes: &[u8]) {
    static FILTER: LazyLock<LogFilter> = LazyLock::new(|| {
        let telemetry = init(Setup::new(Service::new("fuzz", "0"))).unwrap();
        let filter = telemetry.filter().clone();
        std::mem::forget(telemetry);
        filter
    });
    let text = super::text(bytes);
    if let Err(fault) = FILTER.set(&text) {
        assert!(!fault.is_empty() && (text.len() < 40 || !fault.contains(&text)), "{fault}");
    }
}
