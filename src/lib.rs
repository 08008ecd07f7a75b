//! The map of the service.
//!
//! Two halves with one rule between them: [`platform`] is what every fork keeps, the sample domain
//! ([`notify`], [`reports`], and the second service [`ctms`]) is what a fork deletes, and the platform never
//! names the domain. `app` and `ctms` are the only rooms that know both.

#![cfg_attr(
    test,
    expect(clippy::disallowed_methods, reason = "a test has no span to lose and may end anywhere")
)]

pub mod app;
pub mod config;
pub mod ctms;
pub mod notify;
pub mod platform;
pub mod proto;
pub mod reports;
