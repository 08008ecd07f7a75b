//! The channel against real tonic servers that drain, hang and misbehave as they are told. What becomes of its callers when
//! servers are killed or stand still is seen in `tests/it/ctms`, and discovery by DNS and etcd in `tests/peers/endpoints`.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod attempts;
mod breaker;
mod endpoints;
mod retries;
mod server;
mod support;
