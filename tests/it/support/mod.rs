//! What the tests share: parts of the service made ready on temporary folders and free ports.

pub mod collector;
pub mod gateway;
pub mod http;
pub mod notify;
pub mod process;
pub mod queue;
pub mod seen;
pub mod telemetry;
