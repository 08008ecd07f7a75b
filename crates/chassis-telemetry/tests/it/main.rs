//! Telemetry from outside.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod layers;
mod process;
mod spans;
mod support;
