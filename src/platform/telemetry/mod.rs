//! Logs, traces and metrics, and everything that knows OpenTelemetry.
//!
//! The rest of the service opens spans and writes lines with `tracing`, counts with `metrics`, and takes
//! part in traces with [`TraceContext`] and [`SpanExt`]. What becomes of it is decided here.

pub mod catalogue;
pub mod config;
mod context;
mod filter;
mod in_span;
mod install;
mod lines;
mod metrics;
pub mod names;
mod panic;
mod propagation;
mod sampling;
mod settings;
mod shards;
mod span_ext;
mod spans;

pub use config::TelemetryConfig;
pub use context::TraceContext;
pub use filter::LogFilter;
pub use in_span::InSpan;
pub use install::{Flusher, InitError, Service, Telemetry, TestTelemetry, init, init_for_tests};
pub use lines::Format;
pub use metrics::{Exposition, Metrics, PLATFORM_VERSION};
pub use propagation::TRACEPARENT;
pub use span_ext::SpanExt;
