//! The sample domain: notifications to patients by SMS and push.
//!
//! A fork deletes this room. What it stands on (HTTP, queue, store, telemetry) is the platform's.

mod api;
pub mod config;
mod deliver;
mod metrics;
pub mod model;
mod patients;
mod payload;
mod providers;
mod store;
