//! Logs, traces and metrics of a service: [`init()`] sets them up, layers instrument [`http`] and [`grpc`].
//!
//! Everything else is the ecosystem's: a service opens spans and writes lines with `tracing`, counts with `metrics`,
//! and `tracing-opentelemetry`'s `OpenTelemetrySpanExt` works on every span. Ours are the span processor with the
//! exact account ([`Telemetry`]), the JSON lines, and the allow-list of [`attributes`].
//!
//! ```no_run
//! use chassis_telemetry::{LogConfig, LogFormat, Service, Setup};
//!
//! let setup = Setup {
//!     log: LogConfig { format: LogFormat::Json },
//!     line_targets: &["my_service"],
//!     ..Setup::new(Service::new("my-service", "1.0.0"))
//! };
//! let telemetry = chassis_telemetry::init(setup)?;
//! tracing::info!(answer = 42, "started");
//! telemetry.shutdown(std::time::Duration::from_secs(5));
//! # Ok::<(), chassis_telemetry::InitError>(())
//! ```

pub mod attributes;
mod bridge;
mod buffer;
pub mod catalogue;
mod context;
mod environment;
mod filter;
pub mod grpc;
pub mod http;
mod init;
mod lines;
mod measure;
pub mod names;
mod observe;
pub mod propagation;
pub mod settings;
mod spans;
mod tap;

pub use bridge::SpanExt;
pub use chassis_metrics::{Exposition, Handles, Metrics};
pub use context::TraceContext;
pub use filter::LogFilter;
pub use init::{InitError, PLATFORM_VERSION, Scoped, Service, Setup, Telemetry, init};
pub use lines::{LogConfig, LogFormat};
pub use observe::{Begin, Observe};
pub use tap::Tap;
