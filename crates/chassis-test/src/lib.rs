//! Support for tests from outside: it starts programs on free ports and temporary folders, speaks to them as
//! their users, their operators and their attackers do, and reads the lines, spans and metrics that they emit.
//!
//! Nothing here depends on the other chassis crates, so that their tests can use it too. See the README for an
//! example.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]
#![expect(clippy::disallowed_methods, reason = "no span is lost here, and another process cannot be awaited")]

pub mod app;
pub mod certificates;
pub mod client;
pub mod collector;
pub mod frames;
pub mod held;
pub mod lines;
pub mod metrics;
pub mod mutate;
pub mod postgres;
pub mod raw;
pub mod spans;
pub mod stdout;
pub mod tap;
pub mod trace;
pub mod wait;

pub use app::{Running, TestApp};
pub use certificates::Certificate;
pub use client::{Answer, Connection, ask};
pub use collector::{Behaviour, Collector};
pub use metrics::Page;
pub use rustix::process::Signal;
pub use tap::Tap;
pub use trace::TraceParent;
pub use wait::{PATIENCE, until, until_found, until_so};
