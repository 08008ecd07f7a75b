//! The life of a service: configuration, start, health, admin listener, stop.
//!
//! [`Program`] is its command line, [`run()`] surrounds it with telemetry, a runtime and signals, [`Tasks`] keep its
//! parts supervised, [`Health`] says whether they work, [`Admin`] shows it, and [`Shutdown`] ends it in order. The
//! README shows them together.

mod admin;
pub mod config;
mod health;
mod listeners;
mod probe;
mod program;
mod run;
mod shutdown;
mod tasks;

pub use admin::{Admin, AdminConfig, Pages};
pub use health::{Check, Health, Readiness, Verdict};
pub use listeners::{Listening, check_listeners, unencrypted};
pub use program::{Program, ProgramCommand};
pub use run::{FAILURE, Failure, USAGE, run};
pub use shutdown::{Cause, Shutdown, ShutdownConfig, ShutdownError};
pub use tasks::Tasks;

use chassis_telemetry::catalogue::Metric;

/// The metrics of this crate, for [`chassis_telemetry::Setup`].
pub const METRICS: &[Metric] = &[tasks::PANICS];
