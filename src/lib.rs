//! The map of the service.
//!
//! Two halves with one rule between them: [`platform`] is what every fork keeps, the sample domain
//! ([`notify`]) is what a fork deletes, and the platform never names the domain. `app` is the
//! only room that knows both.

pub mod app;
pub mod config;
pub mod notify;
pub mod platform;
