//! The second service of the example, a trial management service: asks the ePRO service for reports, and
//! answers from what it remembers where that cannot answer.
//!
//! A fork deletes this room. What it shares with the other service is the platform, and the protocol between
//! them.

mod api;
mod cache;
mod config;
mod metrics;
mod model;
mod openapi;
mod reports;
mod service;
mod standing;

pub use config::Config;
pub use service::{document, listed, run};

/// What telemetry calls the service.
pub const NAME: &str = "ctms";
