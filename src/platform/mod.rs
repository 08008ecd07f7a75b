//! What every fork keeps: telemetry, HTTP, the store, the queue, and the process around them.

pub mod admin;
pub mod admission;
pub mod auth;
pub mod checked;
pub mod cli;
pub mod config;
pub mod grpc;
pub mod health;
pub mod http;
pub mod id;
pub mod limits;
pub mod listeners;
pub mod process;
pub mod queue;
pub mod resilience;
pub mod shutdown;
pub mod store;
pub mod task;
pub mod telemetry;
pub mod time;
pub mod tls;
pub mod watch;
