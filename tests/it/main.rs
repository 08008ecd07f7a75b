//! The hermetic tests, in one binary: no network, no root, no other program. They start the services and speak to
//! them from outside.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]
#![expect(clippy::too_many_lines, reason = "a scene reads from top to bottom")]
#![expect(clippy::disallowed_methods, reason = "no span is lost here, and another process cannot be awaited")]

mod admin;
mod auth;
mod config;
mod contract;
mod ctms;
mod degradation;
mod docs;
mod grpc;
mod hostile;
mod http;
mod idempotency;
mod limits;
mod notifications;
mod openapi;
mod process;
mod random;
mod reports;
mod studies;
mod support;
mod telemetry;
mod tls;
