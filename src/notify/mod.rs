//! The sample domain: notifications to patients by SMS and push.
//!
//! A fork deletes this room. What it stands on (HTTP, queue, store, telemetry) is the platform's.

pub mod config;
pub mod model;
mod payload;
mod providers;
