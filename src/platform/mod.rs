//! What every fork keeps: telemetry, HTTP, the store, the queue, and the process around them.

pub mod config;
pub mod queue;
pub mod store;
pub mod telemetry;
pub mod time;
