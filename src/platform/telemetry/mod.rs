//! Logs, traces and metrics, and everything that knows OpenTelemetry.

mod context;
pub mod names;

pub use context::{SpanExt, TraceContext};
