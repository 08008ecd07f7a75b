//! The example: an endpoint that accepts a text, and a job that counts its words, each with a metric. The template's
//! README shows how to make your own out of it.

pub mod api;
mod job;
mod metrics;

pub use job::{Example, run};
pub use metrics::METRICS;

/// Where its jobs wait, with workers of their own.
pub const CHANNEL: &str = "examples";
