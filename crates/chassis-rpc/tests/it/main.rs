//! The channel against real tonic servers that are killed, hang, drain and misbehave as they are told.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod attempts;
mod balance;
mod breaker;
mod endpoints;
mod names;
#[cfg(feature = "etcd")]
mod registry;
mod retries;
mod server;
mod support;
